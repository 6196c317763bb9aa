//! Many connections at once.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::good::Good;
use crate::run::{Running, beside, limits};

const MANY: usize = 1000;

/// Both sides of every connection are in this process, which may open too few files by default.
fn may_open(files: usize) -> bool {
    let raised = Command::new("prlimit")
        .args([
            format!("--pid={}", std::process::id()),
            format!("--nofile={files}:"),
        ])
        .status();
    raised.is_ok_and(|status| status.success())
}

/// Connections that say nothing; returns when the server has ended all of them.
async fn idle(address: SocketAddr, count: usize) {
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    for mut stream in idle {
        // A reset is an end, too.
        let read = stream.read(&mut [0; 16]).await.unwrap_or(0);
        assert_eq!(read, 0, "nothing was asked");
    }
}

async fn crowd(connections: usize, count: usize) {
    let mut limits = limits();
    limits.connections = connections;
    let running = Running::new(limits).await;
    let mut good = Good::default();
    good.work(running.address).await;
    let before = good.made;
    beside(&mut good, running.address, idle(running.address, count)).await;
    assert!(good.made > before);
    good.work(running.address).await;
    running.stop().await;
}

#[tokio::test]
async fn a_thousand_idle_connections() {
    if !may_open(4 * MANY) {
        eprintln!("skipped: the limit of open files could not be raised (by prlimit)");
        return;
    }
    crowd(2 * MANY, MANY).await;
}

#[tokio::test]
async fn more_idle_connections_than_the_server_takes_at_once() {
    crowd(32, 100).await;
}

#[tokio::test]
async fn connections_that_are_reset() {
    let running = Running::new(limits()).await;
    let mut good = Good::default();
    let address = running.address;
    let resets = async move {
        for _ in 0..500 {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_zero_linger().unwrap();
        }
    };
    beside(&mut good, running.address, resets).await;
    good.work(running.address).await;
    running.stop().await;
}
