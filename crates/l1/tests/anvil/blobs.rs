//! Sources of blobs that lack some, or have others.

use crate::{
    cluster::{OPAQUE, opaque_batches},
    deriving::{all, config, post},
    world::World,
};
use baton_l1::{
    da::{self, Backend, BlobSource, Blobs},
    derive::{DeriveError, Deriver},
};
use baton_types::settlement::DataKind;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const HONEST: u8 = 0;
/// Has none.
const LACKING: u8 = 1;
/// Has one byte of each that is another.
const FALSE: u8 = 2;

/// In front of anvil.
struct Server {
    url: String,
    mode: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start(world: &World, mode: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (mode, asked) = (Arc::new(AtomicU8::new(mode)), Arc::new(AtomicUsize::new(0)));
        let server = Self { url, mode: mode.clone(), asked: asked.clone() };
        let (upstream, http) = (world.anvil.url.clone(), reqwest::Client::new());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(answer(socket, upstream.clone(), http.clone(), mode.load(Ordering::Relaxed)));
            }
        });
        server
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn be(&self, mode: u8) {
        self.mode.store(mode, Ordering::Relaxed);
    }
}

async fn answer(mut socket: TcpStream, upstream: String, http: reqwest::Client, mode: u8) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(socket.read_u8().await.ok()?);
    }
    let request = String::from_utf8(request).ok()?;
    let path = request.split(' ').nth(1)?;
    let text = http.get(format!("{upstream}{path}")).send().await.ok()?.text().await.ok()?;
    let mut answer: Value = serde_json::from_str(&text).ok()?;
    match mode {
        LACKING => answer["data"] = json!([]),
        FALSE => {
            for blob in answer["data"].as_array_mut()? {
                let text = blob.as_str()?.to_owned();
                let digit = if &text[101..102] == "1" { "2" } else { "1" };
                *blob = json!(format!("{}{digit}{}", &text[..101], &text[102..]));
            }
        }
        _ => {}
    }
    let text = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    socket.write_all([head, text].concat().as_bytes()).await.ok()
}

fn blobs(world: &World, urls: &[&str]) -> Vec<Arc<dyn Backend>> {
    let source = |url: &&str| BlobSource { url: (*url).to_owned(), block_id: da::BlockId::Number };
    vec![Arc::new(Blobs::new(world.client.clone(), urls.iter().map(source).collect()))]
}

#[tokio::test]
async fn a_missing_blob_is_named_and_found_later() {
    let world = World::new(DataKind::Blobs).await;
    let ordered = opaque_batches(3);
    post(&world, OPAQUE, &ordered.contents).await;
    let mut nowhere = config(&world, &ordered, None);
    nowhere.backends = blobs(&world, &[]);
    let mut deriver = Deriver::open(world.client.clone(), nowhere).await.unwrap();
    let error = all(&mut deriver).await.unwrap_err();
    assert!(error.to_string().contains("no source of blobs"), "{error}");

    let server = Server::start(&world, LACKING).await;
    let mut config = config(&world, &ordered, None);
    config.backends = blobs(&world, &[&server.url]);
    let mut deriver = Deriver::open(world.client.clone(), config).await.unwrap();
    for _ in 0..2 {
        let error = all(&mut deriver).await.unwrap_err();
        assert!(matches!(error, DeriveError::Data { index: 0, .. }), "{error}");
        assert!(error.to_string().contains("is not among 0"), "{error}");
        assert_eq!(deriver.next_index(), 0);
    }
    server.be(HONEST);
    let derived = all(&mut deriver).await.unwrap();
    assert!(derived.iter().map(|batch| &batch.contents).eq(&ordered.contents));
}

#[tokio::test]
async fn a_false_blob_is_refused_and_the_next_source_asked() {
    let world = World::new(DataKind::Blobs).await;
    let ordered = opaque_batches(2);
    post(&world, OPAQUE, &ordered.contents).await;
    let (first, second) = (Server::start(&world, FALSE).await, Server::start(&world, FALSE).await);
    let mut config = config(&world, &ordered, None);
    // Nobody listens at the first.
    config.backends = blobs(&world, &["http://127.0.0.1:9", &first.url, &second.url]);
    let mut deriver = Deriver::open(world.client.clone(), config).await.unwrap();
    let error = all(&mut deriver).await.unwrap_err();
    assert!(matches!(error, DeriveError::Data { index: 0, .. }), "{error}");
    for source in ["http://127.0.0.1:9: ", &first.url, &second.url] {
        assert!(error.to_string().contains(source), "each says why: {error}");
    }
    assert_eq!((first.asked(), second.asked()), (1, 1));
    second.be(HONEST);
    let derived = all(&mut deriver).await.unwrap();
    assert!(derived.iter().map(|batch| &batch.contents).eq(&ordered.contents));
    assert_eq!((first.asked(), second.asked()), (3, 3));
    // The one that is right is enough.
    first.be(HONEST);
    let mut config = self::config(&world, &ordered, None);
    config.backends = blobs(&world, &[&first.url, &second.url]);
    all(&mut Deriver::open(world.client.clone(), config).await.unwrap()).await.unwrap();
    assert_eq!((first.asked(), second.asked()), (5, 3));
}

#[tokio::test]
async fn blobs_that_a_reorg_drops_are_posted_again_and_found() {
    let world = World::new(DataKind::Blobs).await;
    let ordered = opaque_batches(3);
    world.source.add(OPAQUE, ordered.contents.clone());
    // One batch per block of L1.
    let config = baton_l1::poster::PosterConfig { batches_max: 1, ..World::config() };
    let mut poster = world.poster(1, &[OPAQUE], config);
    let all_posted = async |poster: &mut baton_l1::poster::Poster| {
        crate::world::until("all are posted", async || {
            poster.round().await;
            world.next_index(OPAQUE).await == 3
        })
        .await;
    };
    all_posted(&mut poster).await;
    let head = world.head(OPAQUE).await;
    world.reorg(2).await;
    assert_eq!(world.next_index(OPAQUE).await, 1);
    all_posted(&mut poster).await;
    assert_eq!(world.head(OPAQUE).await, head, "the same batches");
    world.mine(crate::deriving::FINAL).await;
    let config = self::config(&world, &ordered, None);
    let derived = all(&mut Deriver::open(world.client.clone(), config).await.unwrap()).await.unwrap();
    assert!(derived.iter().map(|batch| &batch.contents).eq(&ordered.contents));
}
