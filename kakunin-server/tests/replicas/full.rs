//! A database without room.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, give, shared};
use crate::load::{Told, event, index_of};
use crate::proxy::pause;
use crate::world::{ALONE, SOON, World};

struct Disk(TempDir);

impl Disk {
    fn mount(size: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("kakunin-pg-").tempdir().unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).status();
        assert!(mounted.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
        give(dir.path());
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Moves the tables of a database that nobody uses.
fn move_to(cluster: &Cluster, name: &str, space: &Path) {
    let make = format!("CREATE TABLESPACE s_{name} LOCATION '{}'", space.display());
    cluster.sql("postgres", "postgres", &make).unwrap();
    cluster.sql("postgres", "postgres", &format!("ALTER DATABASE {name} SET TABLESPACE s_{name}")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_servers_say_so_lose_nothing_and_go_on_when_there_is_some() {
    let _alone = ALONE.lock().await;
    let disk = Disk::mount("40m");
    let space = disk.path().join("space");
    std::fs::create_dir(&space).unwrap();
    give(&space);
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 4_000_000]).unwrap();
    let mut w = World::new().await;
    (0..3).for_each(|number| w.kill(number));
    let name = w.site.database.name.clone();
    move_to(shared(), &name, &space);
    (0..3).for_each(|number| w.start(number));
    w.level().await;
    let (mut told, mut seq) = (Vec::new(), 1);
    let place = crate::load::Place { home: 0, stream: 50, serial: w.agents[0].1.clone() };
    let (began, mut refusals) = (Instant::now(), 0);
    // Until each of them said that there is no room.
    let mut full = [false; 3];
    let batch = |seq: u64| {
        let one = |seq| {
            let mut one = event(&place, seq);
            one["details"] = json!({ "x": "y".repeat(8_000) });
            one
        };
        json!({ "events": (seq..seq + 100).map(one).collect::<Vec<_>>() })
    };
    while full.contains(&false) {
        let at = usize::try_from(seq / 100 + refusals).unwrap() % 3;
        let answer = w.client(at).post("/api/v1/events/batch", &batch(seq)).await.unwrap();
        if answer.status.is_success() {
            let data = answer.data();
            let results = data["results"].as_array().unwrap();
            told.extend(results.iter().zip(seq..).map(|(one, seq)| Told {
                stream: 50,
                seq,
                index: index_of(one),
            }));
            seq += 100;
        } else {
            let (status, code) = (answer.status.as_u16(), answer.json()["code"].clone());
            assert_eq!((status, &code), (507, &json!("storage_full")), "{}", answer.json());
            assert!(answer.headers.contains_key("retry-after"));
            full[at] = true;
            refusals += 1;
        }
        assert!(began.elapsed() < SOON * 2, "{seq}: {full:?}");
    }
    // Nothing that was refused is there, and all can be read.
    for number in 0..3 {
        let listed = w.client(number).get("/api/v1/events?limit=1").await.unwrap().data();
        assert_eq!(listed[0]["id"], told.last().unwrap().index.to_string(), "server {number}");
        let ready = w.ready(number).await.json();
        assert_eq!((&ready["storage_full"], &ready["status"]), (&json!(true), &json!("degraded")), "{ready}");
    }
    std::fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    for at in 0..3 {
        loop {
            let answer = w.client(at).post("/api/v1/events", &event(&place, seq)).await.unwrap();
            if answer.status.is_success() {
                told.push(Told { stream: 50, seq, index: index_of(&answer.data()) });
                seq += 1;
                break;
            }
            assert_eq!(answer.status, 507, "{}", answer.json());
            assert!(freed.elapsed() < SOON, "server {at} does not go on: {}", answer.json());
            pause(50).await;
        }
    }
    println!(
        "full: {} recorded before, {refusals} refused; all go on after {:?}",
        told.len(),
        freed.elapsed()
    );
    w.holds(&told).await;
    drop(w);
    let sql = |sql: String| shared().sql("postgres", "postgres", &sql).unwrap();
    sql(format!("DROP DATABASE {name} WITH (FORCE)"));
    sql(format!("DROP TABLESPACE s_{name}"));
}
