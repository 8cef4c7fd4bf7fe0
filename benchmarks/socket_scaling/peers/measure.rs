// What measure.h is to the C++ programs; one thread adds, another reads.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub struct Count(AtomicU64);

impl Count {
    pub const fn new() -> Self {
        Count(AtomicU64::new(0))
    }
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed) + amount, Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

pub static BYTES: Count = Count::new();
pub static EVENTS: Count = Count::new();
static LATENCY: [Count; 1920] = [const { Count::new() }; 1920];

pub const HEADER: usize = 9;
pub const TIMED_EVERY: usize = 64;
const ADDRESSES: usize = 16;

pub fn die(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(1);
}

pub fn say(line: &str) {
    let mut out = std::io::stdout();
    if writeln!(out, "{line}").and_then(|_| out.flush()).is_err() {
        std::process::exit(1);
    }
}

pub fn await_go() {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(bytes) if bytes > 0 => {}
        _ => std::process::exit(0),
    }
}

pub fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

pub fn add_latency(ns: u64) {
    let shift = (64 - ns.leading_zeros() as usize).saturating_sub(6);
    LATENCY[shift * 32 + (ns >> shift) as usize].add(1);
}

/// The mode and the values of the arguments.
pub fn arguments() -> (String, HashMap<String, usize>) {
    let mut mode = String::new();
    let mut values = HashMap::new();
    for argument in std::env::args().skip(1) {
        match argument.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
            Some((name, value)) => {
                let value = value.parse().unwrap_or_else(|_| die("not a number"));
                values.insert(name.to_string(), value);
            }
            None => mode = argument,
        }
    }
    (mode, values)
}

/// A set of the signals that ask for a report and for the end.
fn signals() -> libc::sigset_t {
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::sigaddset(&mut set, libc::SIGTERM);
        set
    }
}

/// Call it before any other thread exists.
pub fn prepare() {
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &signals(), std::ptr::null_mut());
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

/// Answers the signals from a thread of its own.
pub fn start_reports() {
    std::thread::spawn(|| loop {
        let mut received = 0;
        if unsafe { libc::sigwait(&signals(), &mut received) } != 0 {
            continue;
        }
        if received == libc::SIGTERM {
            std::process::exit(0);
        }
        report();
    });
}

fn report() {
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as i64 * 1_000_000 + time.tv_usec as i64;
    let mut line = format!(
        "report clock_ns={} user_us={} system_us={} sleeps={} preemptions={} bytes={} events={}",
        now_ns(),
        micros(usage.ru_utime),
        micros(usage.ru_stime),
        usage.ru_nvcsw,
        usage.ru_nivcsw,
        BYTES.get(),
        EVENTS.get()
    );
    let buckets: Vec<String> = (0..LATENCY.len())
        .filter(|&i| LATENCY[i].get() > 0)
        .map(|i| format!("{}:{}", i, LATENCY[i].get()))
        .collect();
    if !buckets.is_empty() {
        line += " latency=";
        line += &buckets.join(",");
    }
    say(&line);
}

/// Without Nagle; the end of the connection is a reset, which leaves no port
/// in TIME_WAIT.
pub fn set_options(fd: RawFd) {
    let on: libc::c_int = 1;
    let reset = libc::linger { l_onoff: 1, l_linger: 0 };
    unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            &on as *const _ as *const libc::c_void,
            std::mem::size_of_val(&on) as u32,
        );
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            &reset as *const _ as *const libc::c_void,
            std::mem::size_of_val(&reset) as u32,
        );
    }
}

/// Connection `index` of the client, to the address that is its turn.
pub fn connect(index: usize, port: usize) -> std::net::TcpStream {
    let address = format!("127.0.0.{}:{}", 1 + index % ADDRESSES, port);
    let stream = std::net::TcpStream::connect(address)
        .unwrap_or_else(|error| die(&format!("connect: {error}")));
    set_options(stream.as_raw_fd());
    stream.set_nonblocking(true).unwrap_or_else(|error| die(&error.to_string()));
    stream
}

/// One request; its stream id is still missing.
pub fn frame(message: usize) -> Vec<u8> {
    let mut frame = vec![b'q'; message];
    frame[..5].copy_from_slice(&[4, 0, 0, 0, 0x0a]);
    frame[5..HEADER].copy_from_slice(&((message - HEADER) as u32).to_be_bytes());
    frame
}

/// A small fast generator, as good as choosing connections needs.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Random(0x9e3779b97f4a7c15)
    }
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * bound as u64) >> 32) as usize
    }
}
