//! A PostgreSQL of the tests' own: one cluster for a test binary, one database for a test. It ends with the process that
//! started it, however that ends.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses its own part of this"
)]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kakunin_core::store::postgres::{PostgresOptions, PostgresStore, Roles, migrate};
use pollster::block_on;
use tempfile::TempDir;

/// As whom servers log in.
pub const APPLICATION: &str = "kakunin_app";
pub const OWNER: &str = "kakunin_owner";
pub const AUDITOR: &str = "kakunin_auditor";
/// A superuser.
pub const ADMIN: &str = "postgres";

/// What a server of tests is set to: durable as it would be, and quick to start.
const CONFIGURATION: &str = "
fsync = on
full_page_writes = on
synchronous_commit = on
max_connections = 600
shared_buffers = 128MB
max_wal_size = 1GB
wal_level = replica
hot_standby = on
max_wal_senders = 4
deadlock_timeout = 200ms
log_min_messages = warning
listen_addresses = '127.0.0.1'
";

static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A server.
pub struct Cluster {
    dir: TempDir,
    port: u16,
    /// It stops the server when this process closes its input, as the system does for a process that ends.
    watch: Child,
}

/// The cluster of this test binary.
pub fn shared() -> &'static Cluster {
    &SHARED
}

/// A new database of the shared cluster, with tables.
pub fn database() -> Database<'static> {
    shared().database()
}

impl Cluster {
    /// Makes one, and starts it.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("kakunin-pg-").tempdir().unwrap();
        give(dir.path());
        let data = dir.path().join("data");
        let made = run(&[
            "initdb",
            "-A",
            "trust",
            "-U",
            ADMIN,
            "-E",
            "UTF8",
            "--locale=C",
            "-k",
            "-D",
            &text(&data),
        ]);
        assert!(made.is_ok(), "initdb failed: {made:?}");
        Self::over(dir)
    }

    /// Over a folder that has data in it.
    fn over(dir: TempDir) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = dir.path().join("data");
        let socket = format!("unix_socket_directories = '{}'\nport = {port}\n", dir.path().display());
        let mut file = std::fs::File::options().append(true).open(data.join("postgresql.conf")).unwrap();
        file.write_all(format!("{CONFIGURATION}{socket}").as_bytes()).unwrap();
        let stop = format!(
            "cat >/dev/null; {} -D {} -m immediate stop; rm -rf {}",
            text(&command("pg_ctl")),
            data.display(),
            dir.path().display()
        );
        let mut watch = as_server("sh");
        watch.args(["-c", &stop]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut watch, 0);
        let cluster = Self { watch: watch.spawn().unwrap(), dir, port };
        cluster.resume();
        for role in [APPLICATION, AUDITOR] {
            let sql = format!(
                "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR read_only_sql_transaction THEN END $$"
            );
            _ = cluster.sql(ADMIN, "postgres", &sql);
        }
        cluster
    }

    /// Starts it after it was stopped.
    pub fn resume(&self) {
        let log = text(&self.dir.path().join("log"));
        let begun = run(&["pg_ctl", "-D", &text(&self.data()), "-l", &log, "-w", "-t", "60", "start"]);
        assert!(begun.is_ok(), "{begun:?}: {}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Stops it at once, as a crash would.
    pub fn crash(&self) {
        run(&["pg_ctl", "-D", &text(&self.data()), "-m", "immediate", "-w", "stop"]).unwrap();
    }

    /// A standby that follows it.
    pub fn standby(&self) -> Self {
        let dir = tempfile::Builder::new().prefix("kakunin-pg-").tempdir().unwrap();
        give(dir.path());
        let (data, port) = (text(&dir.path().join("data")), self.port.to_string());
        let base =
            ["pg_basebackup", "-h", "127.0.0.1", "-p", &port, "-U", ADMIN, "-D", &data, "-R", "-c", "fast"];
        run(&base).unwrap();
        Self::over(dir)
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        run(&["pg_ctl", "-D", &text(&self.data()), "-w", "promote"]).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The URL of a database, for a login.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Runs SQL, and gives what it prints; or what was refused.
    pub fn sql(&self, user: &str, database: &str, sql: &str) -> Result<String, String> {
        let done = Command::new(command("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.url(user, database),
                "-c",
                sql,
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        if done.status.success() { Ok(said) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }

    /// A new database, without tables.
    pub fn empty(&self) -> Database<'_> {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        self.sql(ADMIN, "postgres", &format!("CREATE DATABASE {name}")).unwrap();
        Database { cluster: self, name }
    }

    /// A new database, with tables.
    pub fn database(&self) -> Database<'_> {
        let database = self.empty();
        database.migrate();
        database
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        _ = self.watch.wait();
    }
}

/// A database.
pub struct Database<'c> {
    pub cluster: &'c Cluster,
    pub name: String,
}

impl Database<'_> {
    pub fn url(&self, user: &str) -> String {
        self.cluster.url(user, &self.name)
    }

    pub fn options(&self, user: &str) -> PostgresOptions {
        PostgresOptions::parse(&self.url(user)).unwrap()
    }

    /// Makes the tables.
    pub fn migrate(&self) {
        block_on(migrate(&self.options(ADMIN), &Roles::default())).unwrap();
    }

    /// Another process's store, as far as the database knows.
    pub fn open(&self) -> PostgresStore {
        block_on(PostgresStore::open(&self.options(APPLICATION))).unwrap()
    }

    pub fn sql(&self, user: &str, sql: &str) -> Result<String, String> {
        self.cluster.sql(user, &self.name, sql)
    }

    /// As a superuser, who is refused nothing that is not a mistake of the test's.
    pub fn admin(&self, sql: &str) -> String {
        self.sql(ADMIN, sql).unwrap()
    }

    /// As a superuser who puts the guards of structure aside, and back.
    pub fn unguarded(&self, sql: &str) {
        for (before, after) in [("DISABLE", ""), ("", "ENABLE ALWAYS")] {
            if before.is_empty() {
                self.admin(sql);
            }
            let set = [before, after].concat();
            for guard in ["kakunin_structure", "kakunin_drop", "kakunin_rewrite"] {
                self.admin(&format!("ALTER EVENT TRIGGER {guard} {set}"));
            }
        }
    }

    /// Ends the sessions of this database whose name is that, and says how many there were.
    pub fn end_sessions(&self, named: &str) -> usize {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND application_name = '{named}'",
            self.name
        );
        self.admin(&sql).parse().unwrap()
    }
}

/// Waits until something is so; fails after some seconds.
pub fn until(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(15), "{what}: not within 15 s");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

/// A command of PostgreSQL's: in PATH, or where Debian keeps them.
pub fn command(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    // Of its parts in PATH some may be of another version.
    places.splice(0..0, versions.into_iter().rev());
    let found = places.into_iter().map(|place| place.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not here; as root, run: apt-get install -y --no-install-recommends postgresql")
    })
}

fn run(words: &[&str]) -> Result<(), String> {
    let (name, rest) = words.split_first().unwrap();
    // A server that a command starts would keep a pipe open.
    let done =
        as_server(&text(&command(name))).args(rest).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let done = done.unwrap();
    if done.success() { Ok(()) } else { Err(format!("{words:?}: {done}")) }
}

/// PostgreSQL refuses root: there it runs as its own user.
fn as_server(program: &str) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", server_user(), "--regid", server_user(), "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    // Whatever this process was told of servers and databases is about others.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
        command.env_remove(name);
    }
    command.current_dir("/").env("LC_ALL", "C");
    command
}

/// Gives a folder to the server's user.
pub fn give(folder: &Path) {
    if is_root() {
        let user = server_user();
        assert!(Command::new("chown").arg(format!("{user}:{user}")).arg(folder).status().unwrap().success());
    }
}

fn is_root() -> bool {
    static ROOT: LazyLock<bool> =
        LazyLock::new(|| Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n"));
    *ROOT
}

fn server_user() -> &'static str {
    static USER: LazyLock<&str> = LazyLock::new(|| {
        let there = |user| Command::new("id").arg(user).output().is_ok_and(|done| done.status.success());
        if there("postgres") { "postgres" } else { "nobody" }
    });
    &USER
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
