//! A database that has nothing to say, and one that is gone.

use std::time::Duration;

use serde_json::json;

use crate::binary::curl;
use crate::cluster::Cluster;
use crate::site::{Server, Site, printed_key, within};

fn answers(server: &Server, key: &str) -> bool {
    server.get(key, "/api/v1/agents").0 == "200"
}

fn readiness(server: &Server) -> String {
    curl(&[&format!("{}/readyz", server.url)]).0
}

#[test]
fn servers_of_a_quiet_database_go_on_and_of_one_that_is_gone_let_nobody_in_until_it_is_back() {
    // Its watch ends it with this process.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start()));
    let site = Site::with_tables(cluster);
    let servers = [site.start(&[]), site.start(&[])];
    let key = printed_key(&servers[0].said);
    servers[0].agent(&key, "one");
    // For longer than anybody goes on by what is old.
    std::thread::sleep(Duration::from_secs(18));
    for server in &servers {
        let ready = server.ready();
        assert_eq!(ready["status"], "ok", "{ready}");
        assert!(ready["database_silence_seconds"].as_u64().is_some_and(|silence| silence < 5), "{ready}");
        assert!(answers(server, &key));
    }
    cluster.crash();
    for server in &servers {
        within(Duration::from_secs(30), "it is not ready", || readiness(server) == "503");
        within(Duration::from_secs(30), "it lets nobody in", || !answers(server, &key));
        within(Duration::from_secs(30), "a line", || server.log().contains("the database was not heard"));
    }
    cluster.resume();
    for server in &servers {
        within(Duration::from_secs(30), "it answers", || answers(server, &key));
        within(Duration::from_secs(30), "it is ready", || readiness(server) == "200");
        within(Duration::from_secs(5), "a line", || server.log().contains("the database is heard again"));
    }
    let on_duty = || servers.iter().filter(|server| server.ready()["on_duty"] == json!(true)).count();
    within(Duration::from_secs(30), "one is on duty", || on_duty() == 1);
    servers[1].agent(&key, "two");
    within(Duration::from_secs(2), "it is known", || {
        servers[0].get(&key, "/api/v1/agents").1["data"].as_array().is_some_and(|all| all.len() == 2)
    });
}
