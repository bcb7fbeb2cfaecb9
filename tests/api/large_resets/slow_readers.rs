//! Clients that read slowly but steadily, beside clients that do not read.

use std::{net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::interval,
};

use super::{Fixture, METADATA_BYTES, read_grpc, read_sse, read_websocket};
use crate::support::within;

/// A reset of four parts.
const SOME_STREAMS: usize = 30;
/// Bytes of a slow link in each [`TICK`]: 160 KB/s, so that a part of 0.5 MiB takes longer than a stalled client is
/// kept.
const BYTES_PER_TICK: usize = 8 * 1024;
const TICK: Duration = Duration::from_millis(50);

/// Starts a proxy to an address that passes its answers on slowly; returns its own address.
async fn slow_link(to: &str) -> String {
    let to: SocketAddr = to.strip_prefix("http://").unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass_slowly(client, to));
        }
    });
    own
}

async fn pass_slowly(client: TcpStream, to: SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(BYTES_PER_TICK).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let server = TcpStream::from_std(socket.into()).unwrap();
    let ((mut requests, mut answers), (mut from, mut into)) = (client.into_split(), server.into_split());
    let _requests = tokio::spawn(async move { copy(&mut requests, &mut into).await });
    let (mut tick, mut buffer) = (interval(TICK), vec![0; BYTES_PER_TICK]);
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 || answers.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        tick.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_above_the_budget_receive_their_reset_and_silent_clients_are_disconnected() {
    let fixture = Fixture::start(SOME_STREAMS, METADATA_BYTES).await;
    let documents = fixture.documents().await;
    let address = fixture.instance.address();
    let (http, grpc) = (slow_link(&address.http).await, slow_link(&address.grpc).await);
    let readers = async { tokio::join!(read_sse(&http), read_websocket(&http), read_grpc(&grpc)) };
    let (sse, websocket, grpc) = within("the slow readers", fixture.while_budget_is_exceeded(readers)).await;
    assert!(sse == documents, "the parts over SSE are the documents of all streams");
    assert!(websocket == documents, "the parts over WebSocket are the documents of all streams");
    assert!(documents.iter().map(|document| document["id"].as_str().unwrap()).eq(grpc.iter()));
    let evicted = fixture.metric("lso_queue_overflows_total{transport=\"sse\"}").await;
    assert!(evicted > 0, "silent clients are disconnected");
    for transport in ["websocket", "grpc"] {
        let line = format!("lso_queue_overflows_total{{transport=\"{transport}\"}}");
        assert_eq!(fixture.metric(&line).await, 0, "{transport}");
    }
}
