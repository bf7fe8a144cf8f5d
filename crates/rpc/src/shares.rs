//! How much of something each client has. No client can take all of it from the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) struct Shares {
    /// For one client.
    max: usize,
    used: Mutex<BTreeMap<Arc<str>, usize>>,
}

impl Shares {
    /// `percent` of `all` for each.
    pub(crate) fn new(all: usize, percent: usize) -> Arc<Self> {
        let max = (all.saturating_mul(percent) / 100).max(1);
        Arc::new(Self { max, used: Mutex::default() })
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// The lock is never held where something can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None when the client has its share already. Something larger than a share takes all of it.
    pub(crate) fn take(self: &Arc<Self>, client: &Arc<str>, amount: usize) -> Option<Share> {
        let amount = amount.min(self.max);
        let mut used = self.lock();
        let now = used.get(client).copied().unwrap_or(0);
        if now + amount > self.max {
            return None;
        }
        used.insert(client.clone(), now + amount);
        Some(Share { shares: self.clone(), client: client.clone(), amount })
    }
}

/// A part of a client's share, given back when dropped.
pub(crate) struct Share {
    shares: Arc<Shares>,
    client: Arc<str>,
    amount: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.shares.lock();
        if let Some(now) = used.get_mut(&self.client) {
            *now = now.saturating_sub(self.amount);
            if *now == 0 {
                used.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_no_more() {
        let shares = Shares::new(10, 50);
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let held = shares.take(&one, 4).unwrap();
        assert!(shares.take(&one, 2).is_none());
        assert!(shares.take(&one, 1).is_some(), "given back at once");
        let all = shares.take(&other, 1_000).expect("more than a share is a share");
        assert!(shares.take(&other, 1).is_none());
        drop((held, all));
        assert!(shares.lock().is_empty());
        assert_eq!(Shares::new(1, 1).max(), 1);
    }
}
