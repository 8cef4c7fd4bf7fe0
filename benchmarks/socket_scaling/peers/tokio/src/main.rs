//! tokio on its current-thread runtime, which costs less on one core than the
//! one with workers. The client has a reader and a writer task a connection;
//! the writer sends whatever was queued until it runs.

#[path = "../../client.rs"]
mod client;
#[path = "../../measure.rs"]
mod measure;

use std::os::fd::AsRawFd;
use std::rc::Rc;

use client::{Client, Wake};
use measure::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

impl Wake for Notify {
    fn wake(&self) {
        self.notify_one();
    }
}

async fn echo() {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let listener: TcpListener = socket.listen(4096).expect("listen");
    start_reports();
    say(&format!("listening {}", listener.local_addr().expect("address").port()));
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            die("accept failed");
        };
        set_options(stream.as_raw_fd());
        tokio::task::spawn_local(async move {
            let mut buffer = vec![0; 4096];
            loop {
                match stream.read(&mut buffer).await {
                    Ok(bytes) if bytes > 0 => {
                        EVENTS.add(1);
                        BYTES.add(bytes as u64);
                        if stream.write_all(&buffer[..bytes]).await.is_err() {
                            return;
                        }
                    }
                    _ => return,
                }
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
    let writers = (0..sockets).map(|_| Notify::new()).collect();
    let client = Rc::new(Client::new(writers, in_flight, message));
    for (connection, stream) in streams.into_iter().enumerate() {
        let (mut reading, mut writing) = stream.into_split();
        let reader = client.clone();
        tokio::task::spawn_local(async move {
            let mut buffer = vec![0; 16384];
            let mut filled = 0;
            loop {
                match reading.read(&mut buffer[filled..]).await {
                    Ok(bytes) if bytes > 0 => {
                        filled += bytes;
                        let used = reader.on_bytes(&buffer[..filled], bytes);
                        buffer.copy_within(used..filled, 0);
                        filled -= used;
                    }
                    _ => die("the responder went away"),
                }
            }
        });
        let writer = client.clone();
        tokio::task::spawn_local(async move {
            let mut bytes = Vec::new();
            loop {
                writer.writers[connection].notified().await;
                bytes.clear();
                bytes = writer.take(connection, bytes);
                if writing.write_all(&bytes).await.is_err() {
                    die("the responder went away");
                }
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("runtime");
    let tasks = tokio::task::LocalSet::new();
    match mode.as_str() {
        "echo" => tasks.block_on(&runtime, echo()),
        "pipelined" => tasks.block_on(
            &runtime,
            pipelined(value("port"), value("sockets"), value("in-flight"), value("message")),
        ),
        _ => die("usage: tokio echo|pipelined --name=value ..."),
    }
}
