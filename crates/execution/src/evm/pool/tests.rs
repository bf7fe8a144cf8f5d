//! Rules one by one, then long random runs against a pool that keeps a plain list and searches it.

use super::{
    super::testing::{GWEI, Wallet, call, params, rollup},
    *,
};
use crate::testing::Rng;
use alloy_consensus::TxEip1559;

const LIMITS: EvmPoolLimits =
    EvmPoolLimits { transactions_max: 10, bytes_max: 100_000, sender_transactions_max: 4 };

fn signed(who: u64, nonce: u64, tip: u128, value: u128, data: usize) -> Arc<Signed> {
    let transaction = TxEip1559 {
        max_priority_fee_per_gas: tip,
        max_fee_per_gas: 10 * GWEI + tip,
        value: U256::from(value),
        input: vec![0; data].into(),
        ..call(nonce, Address::ZERO)
    };
    let raw = Wallet::new(who).raw(transaction);
    Arc::new(Signed::decode(&raw, &params(&rollup(0))).unwrap())
}

fn plain(who: u64, nonce: u64, tip: u128) -> Arc<Signed> {
    signed(who, nonce, tip, 0, 0)
}

fn account(nonce: u64) -> AccountFacts {
    AccountFacts { nonce, balance: U256::from(10_u128.pow(18)), ..AccountFacts::default() }
}

fn pool(ordering: Ordering) -> EvmPool {
    EvmPool::new(LIMITS, ordering)
}

fn admit(pool: &mut EvmPool, signed: &Arc<Signed>) -> Result<Admitted, Refused> {
    pool.admit(Arc::clone(signed), account(0))
}

fn room(base_fee: u64, gas: u64) -> Room {
    Room { order_fee: base_fee, base_fee, gas }
}

const NONE: fn(&B256) -> Turn = |_| Turn::Ready;

/// As if these were ordered.
fn ordered(ordered: impl Fn(&B256) -> bool) -> impl Fn(&B256) -> Turn {
    move |hash| if ordered(hash) { Turn::Ordered } else { Turn::Ready }
}

fn select(pool: &EvmPool) -> Vec<(Address, u64)> {
    let all = pool.select(room(0, u64::MAX), usize::MAX, NONE);
    all.iter().map(|signed| (signed.sender(), signed.envelope().nonce())).collect()
}

#[test]
fn nonces_wait_in_order_and_within_their_slots() {
    let mut pool = pool(Ordering::Arrival);
    let wallet = Wallet::new(0).address;
    for nonce in [3, 1, 0] {
        admit(&mut pool, &plain(0, nonce, 1)).unwrap();
    }
    assert_eq!(select(&pool), [(wallet, 0), (wallet, 1)], "3 stands behind a gap");
    assert_eq!(pool.next_nonce(&wallet), Some(2));
    assert_eq!(admit(&mut pool, &plain(0, 1, 1)), Err(Refused::Duplicate));
    let far = Refused::NonceTooFar { nonce: 4, next: 0, slots: 4 };
    assert_eq!(admit(&mut pool, &plain(0, 4, 1)), Err(far));
    admit(&mut pool, &plain(0, 2, 1)).unwrap();
    assert_eq!(select(&pool).len(), 4);
    assert_eq!(pool.update(&wallet, account(2)).len(), 2);
    let low = Refused::NonceTooLow { nonce: 1, next: 2 };
    assert_eq!(admit(&mut pool, &plain(0, 1, 1)), Err(low));
    // What is ordered holds its nonce until its execution is final.
    let second = plain(0, 2, 1).hash();
    let ahead = pool.select(room(0, u64::MAX), usize::MAX, ordered(|hash| *hash == second));
    assert_eq!(ahead.iter().map(|signed| signed.hash()).collect::<Vec<_>>(), [plain(0, 3, 1).hash()]);
    assert!(pool.has_work(room(0, u64::MAX), ordered(|hash| *hash == second)));
    assert!(!pool.has_work(room(0, u64::MAX), |_| Turn::Ordered));
    assert!(!pool.has_work(room(0, 199_999), NONE), "no gas for it");
    assert_eq!(pool.update(&wallet, account(9)).len(), 2);
    assert!(pool.is_empty() && pool.bytes() == 0 && pool.tails.is_empty() && pool.senders.is_empty());
    assert_eq!(pool.next_nonce(&wallet), None);
}

#[test]
fn a_replacement_offers_a_tenth_more() {
    let mut pool = pool(Ordering::PriorityFee);
    let first = plain(0, 0, 100 * GWEI);
    admit(&mut pool, &first).unwrap();
    let needed = Refused::Underpriced { nonce: 0, fee: 121 * GWEI, tip: 110 * GWEI };
    assert_eq!(admit(&mut pool, &plain(0, 0, 110 * GWEI)), Err(needed));
    let admitted = admit(&mut pool, &plain(0, 0, 111 * GWEI)).unwrap();
    assert_eq!(admitted, Admitted { replaced: Some(first.hash()), evicted: vec![] });
    assert_eq!(pool.len(), 1);
    assert!(pool.get(&first.hash()).is_none());
    assert_eq!([raised(0), raised(1), raised(10), raised(11)], [1, 2, 11, 13]);
}

#[test]
fn the_balance_covers_all_that_waits() {
    let mut pool = pool(Ordering::Arrival);
    // Each may cost 200,000 × 11 gwei and its value.
    let each = signed(0, 0, GWEI, 5, 0).cost_max();
    let facts = AccountFacts { balance: each * U256::from(2), ..account(0) };
    for nonce in 0..2 {
        pool.admit(signed(0, nonce, GWEI, 5, 0), facts).unwrap();
    }
    let (balance, cost) = (facts.balance, each * U256::from(3));
    assert_eq!(pool.admit(signed(0, 2, GWEI, 5, 0), facts), Err(Refused::Balance { balance, cost }));
    let poorer = AccountFacts { balance: each, ..facts };
    let wallet = Wallet::new(0).address;
    assert_eq!(pool.update(&wallet, poorer), [signed(0, 1, GWEI, 5, 0).hash()]);
    assert_eq!(select(&pool), [(wallet, 0)]);
}

#[test]
fn orderings() {
    let wallets: Vec<_> = (0..4).map(|who| Wallet::new(who).address).collect();
    for (ordering, expected) in [
        (Ordering::Arrival, [(0, 0), (1, 0), (2, 0), (1, 1), (0, 1)]),
        // The sender's first holds back its dear second; equals go by arrival.
        (Ordering::PriorityFee, [(1, 0), (2, 0), (1, 1), (0, 0), (0, 1)]),
    ] {
        let mut pool = pool(ordering);
        for (who, nonce, tip) in [(0, 0, 1), (1, 0, 5), (2, 0, 5), (1, 1, 4), (0, 1, 9)] {
            admit(&mut pool, &plain(who, nonce, tip * GWEI)).unwrap();
        }
        let expected = expected.map(|(who, nonce)| (wallets[who], nonce));
        assert_eq!(select(&pool), expected, "{ordering}");
    }
}

#[test]
fn a_selection_fits_its_block() {
    let mut pool = pool(Ordering::Arrival);
    for who in 0..3 {
        admit(&mut pool, &plain(who, 0, GWEI)).unwrap();
    }
    let bytes = plain(0, 0, GWEI).bytes() + 5;
    let count = |room, bytes| pool.select(room, bytes, NONE).len();
    assert_eq!(count(room(0, 399_999), usize::MAX), 1);
    assert_eq!(count(room(0, 400_000), usize::MAX), 2);
    assert_eq!(count(room(0, u64::MAX), 2 * bytes), 2);
    // They offer 11 gwei.
    assert_eq!(count(room(11_000_000_000, u64::MAX), usize::MAX), 3);
    assert_eq!(count(room(11_000_000_001, u64::MAX), usize::MAX), 0);
}

#[test]
fn what_left_by_hash_is_gone() {
    let mut pool = pool(Ordering::Arrival);
    for nonce in 0..2 {
        admit(&mut pool, &plain(0, nonce, 1)).unwrap();
    }
    pool.remove(&plain(0, 0, 1).hash());
    pool.remove(&plain(5, 0, 1).hash());
    assert_eq!((pool.len(), select(&pool).len()), (1, 0), "1 stands behind a gap now");
    pool.remove(&plain(0, 1, 1).hash());
    assert!(pool.is_empty() && pool.bytes() == 0 && pool.tails.is_empty() && pool.senders.is_empty());
}

#[test]
fn a_full_pool_loses_the_worst() {
    let mut pool = pool(Ordering::PriorityFee);
    for who in 0..8 {
        admit(&mut pool, &plain(who, 0, (10 + u128::from(who)) * GWEI)).unwrap();
    }
    let behind_gap = plain(8, 2, 90 * GWEI);
    admit(&mut pool, &behind_gap).unwrap();
    admit(&mut pool, &plain(9, 0, 50 * GWEI)).unwrap();
    assert_eq!(pool.len(), LIMITS.transactions_max);
    assert_eq!(admit(&mut pool, &plain(10, 1, 99 * GWEI)).unwrap().evicted, [behind_gap.hash()]);
    assert_eq!(admit(&mut pool, &plain(11, 0, GWEI)).unwrap().evicted.len(), 1, "gaps go first");
    let least = plain(11, 0, GWEI);
    assert_eq!(admit(&mut pool, &plain(12, 0, GWEI)), Err(Refused::Full), "the older one stays");
    assert_eq!(admit(&mut pool, &plain(12, 0, 2 * GWEI)).unwrap().evicted, [least.hash()]);
    assert_eq!(pool.len(), LIMITS.transactions_max);
}

#[test]
fn by_arrival_nothing_executable_is_displaced() {
    let mut pool = pool(Ordering::Arrival);
    for who in 0..10 {
        admit(&mut pool, &plain(who, u64::from(who == 3), GWEI)).unwrap();
    }
    assert_eq!(admit(&mut pool, &plain(20, 0, 90 * GWEI)).unwrap().evicted, [plain(3, 1, GWEI).hash()]);
    assert_eq!(admit(&mut pool, &plain(21, 0, 90 * GWEI)), Err(Refused::Full));
}

/// The same rules over a list.
struct Model {
    ordering: Ordering,
    accounts: BTreeMap<Address, AccountFacts>,
    list: Vec<(u64, Arc<Signed>)>,
    sequence: u64,
}

impl Model {
    fn of(&self, sender: Address) -> Vec<&(u64, Arc<Signed>)> {
        let mut own: Vec<_> = self.list.iter().filter(|(_, signed)| signed.sender() == sender).collect();
        own.sort_by_key(|(_, signed)| signed.envelope().nonce());
        own
    }

    fn rank(&self, entry: &(u64, Arc<Signed>)) -> (bool, u128, Reverse<u64>) {
        let sender = entry.1.sender();
        let next = self.accounts[&sender].nonce;
        let nonces: BTreeSet<_> =
            self.of(sender).iter().map(|(_, signed)| signed.envelope().nonce()).collect();
        let executable = (next..entry.1.envelope().nonce()).all(|nonce| nonces.contains(&nonce));
        (
            executable,
            if self.ordering == Ordering::PriorityFee { tip_max(&entry.1) } else { 0 },
            Reverse(entry.0),
        )
    }

    fn worst(&self) -> usize {
        let last = |signed: &Arc<Signed>| {
            self.of(signed.sender()).last().is_some_and(|(_, last)| last.hash() == signed.hash())
        };
        let tails = self.list.iter().enumerate().filter(|(_, (_, signed))| last(signed));
        tails.min_by_key(|(_, entry)| self.rank(entry)).unwrap().0
    }

    fn admit(&mut self, signed: &Arc<Signed>) -> Result<(), &'static str> {
        let (sender, nonce) = (signed.sender(), signed.envelope().nonce());
        let account = self.accounts[&sender];
        if self.list.iter().any(|(_, other)| other.hash() == signed.hash()) {
            return Err("duplicate");
        }
        if nonce < account.nonce || nonce >= account.nonce + LIMITS.sender_transactions_max {
            return Err("nonce");
        }
        let mut next = self.list.clone();
        if let Some(at) = next.iter().position(|(_, s)| s.sender() == sender && s.envelope().nonce() == nonce)
        {
            let (_, old) = next.remove(at);
            let enough = |new: u128, old: u128| new * 10 >= old * 11 && new > old;
            let fee = |signed: &Signed| signed.envelope().max_fee_per_gas();
            if !enough(fee(signed), fee(&old)) || !enough(tip_max(signed), tip_max(&old)) {
                return Err("underpriced");
            }
        }
        next.push((self.sequence, Arc::clone(signed)));
        let own = next.iter().filter(|(_, signed)| signed.sender() == sender);
        if own.map(|(_, signed)| signed.cost_max()).sum::<U256>() > account.balance {
            return Err("balance");
        }
        let before = std::mem::replace(&mut self.list, next);
        self.sequence += 1;
        while self.list.len() > LIMITS.transactions_max || self.bytes() > LIMITS.bytes_max {
            let (arrival, _) = self.list.remove(self.worst());
            if arrival + 1 == self.sequence {
                self.list = before;
                return Err("full");
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.list.iter().map(|(_, signed)| signed.bytes()).sum()
    }

    fn update(&mut self, sender: Address, account: AccountFacts) {
        self.accounts.insert(sender, account);
        self.list.retain(|(_, s)| s.sender() != sender || s.envelope().nonce() >= account.nonce);
        while self.of(sender).iter().map(|(_, signed)| signed.cost_max()).sum::<U256>() > account.balance {
            let last = self.of(sender).last().unwrap().1.hash();
            self.list.retain(|(_, signed)| signed.hash() != last);
        }
    }

    fn select(&self, room: Room, turn: impl Fn(&B256) -> Turn) -> Vec<B256> {
        let mut gas = room.gas;
        let mut next: BTreeMap<Address, u64> =
            self.accounts.iter().map(|(sender, account)| (*sender, account.nonce)).collect();
        let mut chosen = Vec::new();
        loop {
            let is_next = |signed: &Signed| next[&signed.sender()] == signed.envelope().nonce();
            let passed =
                self.list.iter().find(|(_, signed)| is_next(signed) && turn(&signed.hash()) == Turn::Ordered);
            if let Some((_, signed)) = passed {
                *next.get_mut(&signed.sender()).unwrap() += 1;
                continue;
            }
            let heads = self.list.iter().filter(|(_, signed)| {
                is_next(signed)
                    && turn(&signed.hash()) == Turn::Ready
                    && signed.envelope().max_fee_per_gas() >= u128::from(room.base_fee)
            });
            let best = heads.max_by_key(|(arrival, signed)| {
                let over = signed.envelope().max_fee_per_gas().saturating_sub(u128::from(room.order_fee));
                let tip = tip_max(signed).min(over);
                (if self.ordering == Ordering::PriorityFee { tip } else { 0 }, Reverse(*arrival))
            });
            let Some((_, signed)) = best else { return chosen };
            if signed.envelope().gas_limit() > gas {
                next.insert(signed.sender(), u64::MAX);
                continue;
            }
            gas -= signed.envelope().gas_limit();
            chosen.push(signed.hash());
            *next.get_mut(&signed.sender()).unwrap() += 1;
        }
    }
}

const fn reason(refused: &Refused) -> &'static str {
    match refused {
        Refused::Duplicate => "duplicate",
        Refused::NonceTooLow { .. } | Refused::NonceTooFar { .. } => "nonce",
        Refused::Underpriced { .. } => "underpriced",
        Refused::Balance { .. } => "balance",
        Refused::SenderIsContract => "contract",
        Refused::Full => "full",
    }
}

#[test]
fn random_runs_against_the_model() {
    for ordering in [Ordering::Arrival, Ordering::PriorityFee] {
        let mut reasons = BTreeMap::<_, u32>::new();
        for seed in 0..8 {
            random_run(ordering, seed, &mut reasons);
        }
        let all = ["accepted", "balance", "duplicate", "full", "nonce", "underpriced"];
        assert_eq!(reasons.keys().copied().collect::<Vec<_>>(), all, "{ordering}: {reasons:?}");
    }
}

fn random_run(ordering: Ordering, seed: u64, reasons: &mut BTreeMap<&'static str, u32>) {
    let mut rng = Rng::new(seed);
    let wallets: Vec<_> = (0..6).map(|who| Wallet::new(who).address).collect();
    let mut pool = pool(ordering);
    let accounts = wallets.iter().map(|wallet| (*wallet, account(0))).collect();
    let mut model = Model { ordering, accounts, list: Vec::new(), sequence: 0 };
    for step in 0..300 {
        let who = rng.below(wallets.len());
        let facts = model.accounts[&wallets[who]];
        if rng.chance(15) {
            let balance = U256::from(if rng.chance(30) { 5 } else { 1_000 } * 10_u128.pow(16));
            let facts = AccountFacts { nonce: facts.nonce + rng.next() % 3, balance, ..facts };
            model.update(wallets[who], facts);
            pool.update(&wallets[who], facts);
        } else {
            let nonce = (facts.nonce + rng.next() % 6).saturating_sub(1);
            let tip = u128::from(1 + rng.next() % 6) * 10 * GWEI;
            let data = if rng.chance(10) { 45_000 } else { 0 };
            let transaction = TxEip1559 {
                max_priority_fee_per_gas: tip,
                max_fee_per_gas: tip * 2,
                gas_limit: if data > 0 { 600_000 } else { 200_000 },
                input: vec![0; data].into(),
                ..call(nonce, Address::ZERO)
            };
            let raw = Wallet::new(who as u64).raw(transaction);
            let signed = Arc::new(Signed::decode(&raw, &params(&rollup(0))).unwrap());
            let expected = model.admit(&signed);
            let actual = pool.admit(signed, facts);
            let actual = actual.map(drop).map_err(|refused| reason(&refused));
            assert_eq!(actual, expected, "{ordering}, seed {seed}, step {step}");
            *reasons.entry(expected.err().unwrap_or("accepted")).or_default() += 1;
        }
        let held: BTreeSet<_> = model.list.iter().map(|(_, signed)| signed.hash()).collect();
        assert_eq!(pool.hashes.keys().copied().collect::<BTreeSet<_>>(), held, "step {step}");
        assert_eq!(pool.bytes(), model.bytes());
        let base_fee = (rng.next() % 130) * 1_000_000_000;
        let gas = 200_000 * (1 + rng.next() % 12);
        let order_fee = (rng.next() % 130) * 1_000_000_000;
        let room = Room { order_fee, base_fee, gas };
        let turn = |hash: &B256| match hash[0] % 8 {
            0 | 1 => Turn::Ordered,
            2 => Turn::Blocked,
            _ => Turn::Ready,
        };
        let selected = pool.select(room, usize::MAX, turn);
        let selected: Vec<_> = selected.iter().map(|signed| signed.hash()).collect();
        assert_eq!(selected, model.select(room, turn), "{ordering}, seed {seed}, step {step}");
        let plenty = Room { gas: u64::MAX, ..room };
        assert_eq!(pool.has_work(plenty, turn), !model.select(plenty, turn).is_empty());
    }
}
