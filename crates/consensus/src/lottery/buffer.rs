//! Bodies on their way: the library's buffer, but a committer does not send a body again that its author
//! has sent to everybody.

use baton_types::{Block, Digest, PublicKey, Round};
use commonware_broadcast::{Broadcaster as _, buffered};
use commonware_consensus::marshal::{core::Buffer, standard::Standard};
use commonware_cryptography::Digested;
use commonware_p2p::Recipients;
use commonware_utils::channel::oneshot;

#[derive(Clone)]
pub struct Bodies {
    pub inner: buffered::Mailbox<PublicKey, Block>,
    pub me: PublicKey,
}

impl Bodies {
    /// Sends a body to every member, whoever built it.
    pub fn broadcast(&self, block: Digested<Block>) {
        let _ = self.inner.broadcast(Recipients::All, block);
    }

    /// Resolves when the body is here.
    pub fn subscribe(&self, digest: Digest) -> oneshot::Receiver<Digested<Block>> {
        self.inner.subscribe(digest)
    }
}

impl Buffer<Standard<Block>> for Bodies {
    type PublicKey = PublicKey;

    async fn find_by_digest(&self, digest: Digest) -> Option<Digested<Block>> {
        self.inner.get(digest).await
    }

    async fn find_by_commitment(&self, digest: Digest) -> Option<Digested<Block>> {
        self.inner.get(digest).await
    }

    fn subscribe_by_digest(&self, digest: Digest) -> Option<oneshot::Receiver<Digested<Block>>> {
        Some(self.inner.subscribe(digest))
    }

    fn subscribe_by_commitment(&self, digest: Digest) -> Option<oneshot::Receiver<Digested<Block>>> {
        Some(self.inner.subscribe(digest))
    }

    fn send(&self, _: Round, block: Digested<Block>, recipients: Recipients<PublicKey>) {
        let foreign = block.inner().header().author != self.me;
        if foreign && matches!(recipients, Recipients::All) {
            return;
        }
        let _ = self.inner.broadcast(recipients, block);
    }
}
