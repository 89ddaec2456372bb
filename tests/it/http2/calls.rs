//! gRPC end to end: tonic's client, the gateway, tonic's server.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::MetadataValue;
use tonic::server::{self, StreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

use super::OPEN;
use crate::support::{MintedKey, TestGateway, TestStore, block_on};

/// Messages are bytes as they are.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

/// Says each message back in capitals, one or many; `fail` fails.
#[derive(Clone, Copy)]
struct Echo;

fn say(message: &Bytes) -> Result<Bytes, Status> {
    if message == "fail" {
        let mut status = Status::not_found("no such thing: 100 %");
        status.metadata_mut().insert("x-hint", MetadataValue::from_static("look elsewhere"));
        return Err(status);
    }
    Ok(message.to_ascii_uppercase().into())
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let caller = request.metadata().get("x-auth-key-id").cloned();
        ready(say(request.get_ref()).map(|said| {
            let mut response = Response::new(said);
            response.metadata_mut().insert("x-caller", caller.expect("the caller is known"));
            response
        }))
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let said = request.into_inner().map(|message| say(&message?));
        ready(Ok(Response::new(said.boxed())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.headers()["te"], "trailers");
        async move {
            let mut grpc = server::Grpc::new(Plain);
            Ok(match request.uri().path() {
                "/test.Echo/One" => grpc.unary(Echo, request).await,
                _ => grpc.streaming(Echo, request).await,
            })
        }
        .boxed()
    }
}

/// A server of tonic's on the runtime of the test.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let incoming = TcpIncoming::from(listener);
    tokio::spawn(Server::builder().serve_with_incoming(Echo, incoming));
    address
}

/// A client of tonic's behind a gateway in front of that server.
async fn behind_a_gateway() -> (TestGateway, MintedKey, Grpc<Channel>) {
    let upstream = upstream().await;
    let targets = format!("[upstreams.api]\ntargets = [\"http://{upstream}\"]\nhttp2 = true");
    let gateway = TestGateway::with(TestStore::sqlite()).config(OPEN).config(&targets).start();
    let key = gateway.key("--name a");
    let endpoint = Channel::from_shared(format!("http://{}", gateway.address()));
    let channel = endpoint.expect("an address").connect().await.expect("it can be connected to");
    (gateway, key, Grpc::new(channel))
}

/// A call's message with the key that lets it in.
fn with_key<T>(key: &MintedKey, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let secret = key.secret().parse().expect("a secret is a header's value");
    request.metadata_mut().insert("x-api-key", secret);
    request
}

async fn one(
    client: &mut Grpc<Channel>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Status> {
    client.ready().await.expect("the connection stands");
    client.unary(request, PathAndQuery::from_static("/test.Echo/One"), Plain).await
}

#[test]
fn a_single_call_brings_its_answer_its_metadata_and_its_status() {
    block_on(async {
        let (_gateway, key, mut client) = behind_a_gateway().await;
        let answer = one(&mut client, with_key(&key, "one".into())).await.expect("an answer");
        assert_eq!(answer.get_ref(), "ONE");
        assert_eq!(answer.metadata().get("x-caller").expect("the caller"), key.id());
        assert_eq!(answer.metadata().get("grpc-status").expect("a status"), "0");

        let failed = one(&mut client, with_key(&key, "fail".into())).await.expect_err("it fails");
        assert_eq!((failed.code(), failed.message()), (Code::NotFound, "no such thing: 100 %"));
        assert_eq!(failed.metadata().get("x-hint").expect("the hint"), "look elsewhere");
    });
}

#[test]
fn a_call_streams_both_ways_and_each_message_comes_before_the_next_is_sent() {
    block_on(async {
        let (_gateway, key, mut client) = behind_a_gateway().await;
        let (sender, mut messages) = mpsc::unbounded_channel::<Bytes>();
        let messages = stream::poll_fn(move |cx: &mut Context<'_>| messages.poll_recv(cx));
        client.ready().await.expect("the connection stands");
        let path = PathAndQuery::from_static("/test.Echo/Many");
        let messages: Pin<Box<dyn stream::Stream<Item = Bytes> + Send>> = Box::pin(messages);
        let answer = client.streaming(with_key(&key, messages), path, Plain).await;
        let mut said = answer.expect("an answer").into_inner();
        for number in 0..100 {
            sender.send(format!("message {number}").into()).expect("the call goes on");
            let message = said.message().await.expect("it goes well").expect("a message");
            assert_eq!(message, format!("MESSAGE {number}"));
        }
        drop(sender);
        assert_eq!(said.message().await.expect("it ends well"), None);
    });
}

#[test]
fn a_stream_that_fails_half_way_ends_with_its_status() {
    block_on(async {
        let (_gateway, key, mut client) = behind_a_gateway().await;
        client.ready().await.expect("the connection stands");
        let messages = stream::iter(["one", "two", "fail", "never"].map(Bytes::from));
        let path = PathAndQuery::from_static("/test.Echo/Many");
        let answer = client.streaming(with_key(&key, messages), path, Plain).await;
        let mut said = answer.expect("an answer").into_inner();
        assert_eq!(said.message().await.expect("it goes well").expect("a message"), "ONE");
        assert_eq!(said.message().await.expect("it goes well").expect("a message"), "TWO");
        let failed = said.message().await.expect_err("it fails");
        assert_eq!((failed.code(), failed.message()), (Code::NotFound, "no such thing: 100 %"));
    });
}

#[test]
fn a_refused_call_has_the_refusals_status() {
    block_on(async {
        let (_gateway, _, mut client) = behind_a_gateway().await;
        let refused =
            one(&mut client, Request::new("one".into())).await.expect_err("it is refused");
        let expected = (Code::Unauthenticated, "Invalid or missing API key");
        assert_eq!((refused.code(), refused.message()), expected);
        assert_eq!(refused.metadata().get("www-authenticate").expect("a challenge"), "Bearer");
    });
}

#[test]
fn large_messages_pass_whole_many_calls_at_a_time() {
    block_on(async {
        let (_gateway, key, client) = behind_a_gateway().await;
        let large = Bytes::from("large ".repeat(100_000));
        let calls = (0..20).map(|_| {
            let (mut client, key, large) = (client.clone(), &key, large.clone());
            async move { one(&mut client, with_key(key, large)).await.expect("an answer") }
        });
        for answer in futures_util::future::join_all(calls).await {
            assert!(*answer.get_ref() == large.to_ascii_uppercase(), "it was changed");
        }
    });
}
