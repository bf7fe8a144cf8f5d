use super::*;
use baton_types::{Digest, merkle::EMPTY};
use commonware_cryptography::Signer as _;
use commonware_p2p::{Receiver as _, Recipients, Sender as _};
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, tokio};
use commonware_utils::ordered::{Map, Set};
use std::net::TcpListener;

const CHAIN: Digest = EMPTY;
const BULK_MESSAGES: usize = 120;
const BULK_BYTES: usize = 512 * 1024;

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn member(context: &Context, key: &PrivateKey, listen: SocketAddr) -> Tcp {
    Tcp::new(context, key.clone(), &CHAIN, listen, 2, 1024 * 1024, BTreeMap::new())
}

fn track(tcp: &Tcp, addresses: &Map<PublicKey, Address>) {
    let peers = TrackedPeers::new(addresses.keys().clone(), Set::default());
    tcp.manager()
        .track(Epoch::zero(), peers, &Directory::from(addresses.clone()))
        .expect("all addresses are known");
}

/// Incident: OP conductor's blocks starved its heartbeats, and a healthy leader was deposed.
/// A vote sent behind 60 MB of bulk must not wait for it: it has a channel and a priority of its own.
#[test]
fn a_flood_of_bulk_does_not_delay_a_vote() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = tokio::Config::default().with_worker_threads(2).with_storage_directory(dir.path());
    tokio::Runner::new(config).start(|context| async move {
        let (alice, bob) = (PrivateKey::from_seed(1), PrivateKey::from_seed(2));
        let (at_alice, at_bob) = (free_port(), free_port());
        let addresses = Map::from_iter_dedup([
            (alice.public_key(), Address::Symmetric(at_alice)),
            (bob.public_key(), Address::Symmetric(at_bob)),
        ]);
        let mut sender = member(&context.child("alice"), &alice, at_alice);
        let mut receiver = member(&context.child("bob"), &bob, at_bob);
        track(&sender, &addresses);
        track(&receiver, &addresses);
        let (mut votes, _votes) = sender.register(Channel::Votes).await;
        let (mut bulk, _bulk) = sender.register(Channel::Backfill).await;
        let (_v, mut votes_in) = receiver.register(Channel::Votes).await;
        let (_b, mut bulk_in) = receiver.register(Channel::Backfill).await;
        sender.start();
        receiver.start();
        let to = || Recipients::One(bob.public_key());
        // Until they are connected, messages are lost.
        loop {
            votes.send(to(), vec![0u8; 8], true);
            let heard = commonware_macros::select! {
                vote = votes_in.recv() => vote.is_ok(),
                _ = context.sleep(Duration::from_millis(20)) => false,
            };
            if heard {
                break;
            }
        }

        let sent =
            (0..BULK_MESSAGES).filter(|_| !bulk.send(to(), vec![7u8; BULK_BYTES], false).is_empty()).count();
        assert!(sent > BULK_MESSAGES / 2, "the flood must be a flood: {sent} messages taken");
        assert!(!votes.send(to(), vec![1u8; 8], true).is_empty(), "the vote was not taken");
        let counter = context.child("count").spawn(move |_| async move {
            let mut received = 0;
            while received < sent && bulk_in.recv().await.is_ok() {
                received += 1;
            }
            received
        });
        loop {
            let (_, vote) = votes_in.recv().await.expect("the vote arrives");
            if vote.as_ref() == [1u8; 8] {
                break;
            }
        }
        // Were the vote last in line, everything would have arrived before it.
        let counting = commonware_macros::select! {
            received = counter => Some(received),
            _ = context.sleep(Duration::ZERO) => None,
        };
        assert!(counting.is_none(), "all bulk arrived before the vote");
    });
}
