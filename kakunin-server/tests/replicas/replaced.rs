//! A standby in the place of its primary.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, Database, until};
use crate::load::{Place, event, longest, told, told_to_come_back};
use crate::proxy::pause;
use crate::world::{ALONE, SOON, World, port_of};

/// It ends with this process, as all of its kind do.
fn kept(cluster: Cluster) -> &'static Cluster {
    Box::leak(Box::new(cluster))
}

fn sql(cluster: &Cluster, sql: &str) -> String {
    cluster.sql("postgres", "postgres", sql).unwrap()
}

fn set(cluster: &Cluster, settings: &[&str]) {
    for setting in settings {
        sql(cluster, &format!("ALTER SYSTEM SET {setting}"));
    }
    sql(cluster, "SELECT pg_reload_conf()");
}

/// Servers, and a standby of their database that follows it.
async fn with_standby() -> (World, &'static Cluster, &'static Cluster) {
    let primary = kept(Cluster::start());
    let w = World::over(primary, true, &[]).await;
    let standby = kept(primary.standby());
    until("the standby follows", || {
        sql(primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1"
    });
    (w, primary, standby)
}

impl World {
    /// Whatever asks for the database finds the other one from here on.
    fn moves_to(&mut self, cluster: &'static Cluster) {
        let name = self.site.database.name.clone();
        self.site.database = Database { cluster, name };
        let port = port_of(&self.site.url());
        self.proxies.iter().for_each(|proxy| proxy.lead_to(port));
    }

    /// What the command says that checks the log against a checkpoint that was kept.
    fn checked(&self, checkpoint: &str) -> Output {
        std::fs::write(self.site.at("checkpoint"), checkpoint).unwrap();
        self.site.command(&["log", "verify", "--json", "--checkpoint", &self.site.at("checkpoint")])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_applied_what_was_acknowledged_takes_over_and_nothing_is_lost() {
    let _alone = ALONE.lock().await;
    let (mut w, primary, standby) = with_standby().await;
    set(primary, &["synchronous_standby_names = '*'", "synchronous_commit = 'remote_apply'"]);
    until("it is synchronous", || sql(primary, "SELECT sync_state FROM pg_stat_replication") == "sync");
    let load = w.load(6);
    pause(1_500).await;
    primary.crash();
    let stopped = Instant::now();
    standby.promote();
    w.moves_to(standby);
    for number in 0..3 {
        while w.ready(number).await.status != 200 {
            assert!(stopped.elapsed() < SOON, "server {number} does not go on: {}", w.log_of(number));
            pause(50).await;
        }
    }
    let ready = stopped.elapsed();
    pause(1_000).await;
    let reports = load.end().await;
    println!(
        "replaced: ready {ready:?} after the stop; longest {:?}; refused {}",
        longest(&reports),
        told_to_come_back(&reports)
    );
    w.holds(&told(&reports)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lacks_what_was_acknowledged_is_found_out_by_whoever_knows_more() {
    let _alone = ALONE.lock().await;
    let (mut w, primary, standby) = with_standby().await;
    // From here on it hears nothing.
    let replayed = sql(primary, "SELECT pg_current_wal_lsn()");
    until("it has what there is", || {
        sql(standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{replayed}'")) == "t"
    });
    set(standby, &["primary_conninfo = ''"]);
    until("it hears nothing", || sql(primary, "SELECT count(*) FROM pg_stat_replication") == "0");
    let place = Place { home: 0, stream: 60, serial: w.agents[0].1.clone() };
    let batch = json!({ "events": (1..=5).map(|seq| event(&place, seq)).collect::<Vec<_>>() });
    let recorded = w.client(0).post("/api/v1/events/batch", &batch).await.unwrap();
    assert_eq!(recorded.status, 201, "{}", recorded.json());
    w.revoke(0, &w.agents[1].1).await;
    w.level().await;
    let checkpoint = recorded.text("checkpoint");
    let out = w.checked(&checkpoint);
    let said = [&*out.stdout, &*out.stderr].map(String::from_utf8_lossy).concat();
    assert!(out.status.success(), "{said}");
    primary.crash();
    standby.promote();
    w.moves_to(standby);
    // Whoever holds what was acknowledged finds that it is not there.
    let out = w.checked(&checkpoint);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!out.status.success() && said.contains("\"ok\":false"), "{said}");
    // Servers that know more go on from nothing less: they accept no event, and do not let in who was revoked.
    let (began, mut denied) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(4) {
        for at in 0..3 {
            let more = json!({ "events": [event(&place, 6)] });
            let answer = w.client(at).post("/api/v1/events/batch", &more).await.unwrap();
            assert!(!answer.status.is_success(), "server {at} goes on from less: {}", answer.json());
            assert_eq!(answer.status, 503, "{}", answer.json());
            let known = w.client(at).get(&format!("/api/v1/verify/{}", w.agents[1].1)).await.unwrap();
            assert!(known.status != 200 || known.text("status") == "revoked", "{}", known.json());
            denied += 1;
        }
        pause(100).await;
    }
    for at in 0..3 {
        assert!(w.log_of(at).contains("the end of log default is missing"), "{}", w.log_of(at));
    }
    println!("lost: {denied} refused by servers that know more");
}
