//! The `scylla` crate, token and shard aware, as its documentation sets it up;
//! one worker, as one core has room for.
//!
//!     scylla-rust --port=P --in-flight=W [--queries=N]
//!
//! A task for each request in flight.

#[path = "../../../../socket_scaling/peers/measure.rs"]
#[allow(dead_code)] // Some of it is for clients without a driver.
mod measure;

use std::sync::Arc;
use std::time::Duration;

use measure::*;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::Consistency;
use scylla::value::CqlTimestamp;
use uuid::Uuid;

const QUERY: &str = "SELECT key, author, uri, body, created_at, likes, score, pinned, id, \
                     digest FROM bench.posts WHERE key = ?";
const LIKES: i32 = 42; // Of every row.

type Row<'a> = (
    i64,
    &'a str,
    &'a str,
    &'a str,
    CqlTimestamp,
    i32,
    f64,
    bool,
    Uuid,
    &'a [u8],
);

/// The keys of workload.h, elsewhere in their sequence for each number.
struct Keys(u64);

impl Keys {
    fn new(number: usize) -> Self {
        let offset = (number as u64).wrapping_mul(0xbf58476d1ce4e5b9);
        let mut keys = Keys(0x9e3779b97f4a7c15u64.wrapping_add(offset));
        keys.next();
        keys
    }
    fn next(&mut self) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as i64
    }
}

async fn connect(port: usize) -> (Session, PreparedStatement) {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalOne)
        .request_timeout(Some(Duration::from_secs(30)))
        .build();
    let session = SessionBuilder::new()
        .known_node(format!("127.0.0.1:{port}"))
        .connection_timeout(Duration::from_secs(20))
        .fetch_schema_metadata(false)
        .default_execution_profile_handle(profile.into_handle())
        .build()
        .await
        .unwrap_or_else(|error| die(&error.to_string()));
    let mut select = session
        .prepare(QUERY)
        .await
        .unwrap_or_else(|error| die(&error.to_string()));
    select.set_is_idempotent(true);
    // As the other clients: columns come with PREPARED, not with each answer.
    select.set_use_cached_result_metadata(true);
    (session, select)
}

async fn ask(session: Arc<Session>, select: PreparedStatement, number: usize, queries: u64) {
    let timed = number % TIMED_EVERY == 0;
    let mut keys = Keys::new(number);
    loop {
        let key = keys.next();
        let sent_ns = if timed { now_ns() } else { 0 };
        let result = session
            .execute_unpaged(&select, (key,))
            .await
            .unwrap_or_else(|error| die(&error.to_string()));
        let rows = result
            .into_rows_result()
            .unwrap_or_else(|error| die(&error.to_string()));
        let row: Row = rows
            .first_row()
            .unwrap_or_else(|error| die(&error.to_string()));
        if row.0 != key || row.5 != LIKES {
            die("not the row that was asked for");
        }
        if timed {
            add_latency(now_ns() - sent_ns);
        }
        EVENTS.add(1);
        if EVENTS.get() == queries {
            std::process::exit(0);
        }
    }
}

fn main() {
    prepare();
    let (_, values) = arguments();
    let value = |name: &str| values.get(name).copied().unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime");
    say("started");
    await_go();
    let (session, select) = runtime.block_on(connect(value("port")));
    say("connected");
    await_go();
    start_reports();
    let session = Arc::new(session);
    for number in 0..value("in-flight") {
        runtime.spawn(ask(
            session.clone(),
            select.clone(),
            number,
            value("queries") as u64,
        ));
    }
    runtime.block_on(std::future::pending::<()>());
}
