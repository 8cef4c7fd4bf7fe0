//! monoio on io_uring: owned buffers, a task a connection in the server, a
//! reader and a writer each in the client.

#[path = "../../client.rs"]
mod client;
#[path = "../../measure.rs"]
mod measure;

use std::os::fd::AsRawFd;
use std::rc::Rc;

use client::{Client, Wake};
use local_sync::semaphore::Semaphore;
use measure::*;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, Splitable};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};

impl Wake for Semaphore {
    fn wake(&self) {
        self.add_permits(1);
    }
}

async fn echo() {
    let options = ListenerOpts::new().backlog(4096);
    let listener = TcpListener::bind_with_config("127.0.0.1:0", &options).expect("bind");
    start_reports();
    say(&format!("listening {}", listener.local_addr().expect("address").port()));
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            die("accept failed");
        };
        set_options(stream.as_raw_fd());
        monoio::spawn(async move {
            let mut buffer: Vec<u8> = Vec::with_capacity(4096);
            loop {
                let (result, filled) = stream.read(buffer).await;
                match result {
                    Ok(bytes) if bytes > 0 => {
                        EVENTS.add(1);
                        BYTES.add(bytes as u64);
                    }
                    _ => return,
                }
                let (result, written) = stream.write_all(filled).await;
                if result.is_err() {
                    return;
                }
                buffer = written;
                buffer.clear();
            }
        });
    }
}

async fn pipelined(port: usize, sockets: usize, in_flight: usize, message: usize) {
    say("started");
    await_go();
    let streams: Vec<TcpStream> = (0..sockets)
        .map(|i| TcpStream::from_std(connect(i, port)).expect("stream"))
        .collect();
    say("connected");
    await_go();
    start_reports();
    let writers = (0..sockets).map(|_| Semaphore::new(0)).collect();
    let client = Rc::new(Client::new(writers, in_flight, message));
    for (connection, stream) in streams.into_iter().enumerate() {
        let (mut reading, mut writing) = stream.into_split();
        let reader = client.clone();
        monoio::spawn(async move {
            let mut partial: Vec<u8> = Vec::new();
            let mut buffer: Vec<u8> = Vec::with_capacity(16384);
            loop {
                let (result, filled) = reading.read(buffer).await;
                match result {
                    Ok(bytes) if bytes > 0 => {
                        if partial.is_empty() {
                            let used = reader.on_bytes(&filled, bytes);
                            partial.extend_from_slice(&filled[used..]);
                        } else {
                            partial.extend_from_slice(&filled);
                            let used = reader.on_bytes(&partial, bytes);
                            partial.drain(..used);
                        }
                    }
                    _ => die("the responder went away"),
                }
                buffer = filled;
                buffer.clear();
            }
        });
        let writer = client.clone();
        monoio::spawn(async move {
            let mut bytes: Vec<u8> = Vec::new();
            loop {
                match writer.writers[connection].acquire().await {
                    Ok(permit) => permit.forget(),
                    Err(_) => die("a semaphore was closed"),
                }
                bytes.clear();
                bytes = writer.take(connection, bytes);
                let (result, written) = writing.write_all(bytes).await;
                if result.is_err() {
                    die("the responder went away");
                }
                bytes = written;
            }
        });
    }
    client.start();
    std::future::pending::<()>().await;
}

fn main() {
    prepare();
    let (mode, values) = arguments();
    let value = |name: &str| values.get(name).copied().unwrap_or(0);
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .with_entries(4096)
        .build();
    let Ok(mut runtime) = runtime else {
        eprintln!("io_uring is refused here");
        std::process::exit(77);
    };
    match mode.as_str() {
        "echo" => runtime.block_on(echo()),
        "pipelined" => runtime.block_on(pipelined(
            value("port"),
            value("sockets"),
            value("in-flight"),
            value("message"),
        )),
        _ => die("usage: monoio echo|pipelined --name=value ..."),
    }
}
