use super::{
    super::{
        Signed, Skip,
        testing::{
            Oracle, Traffic, Wallet, call, cluster_block, contract, digest, entry, legacy, params, rollup,
            skipped, words,
        },
    },
    *,
};
use crate::testing::Rng;
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, U256};

const LIMITS: ChainLimits = ChainLimits { branches_max: 50, history_max: 1_000 };

fn with_cadence(cadence: Cadence) -> Rollup {
    let mut rollup = rollup(12);
    rollup.evm.as_mut().unwrap().cadence = cadence;
    rollup
}

const SLOTTED: Cadence = Cadence::Slotted { ms: 2_000 };

fn chain(rollup: &Rollup) -> Chain {
    Chain::new(rollup, digest(0), LIMITS).unwrap()
}

fn transfer(rollup: &Rollup, who: u64, nonce: u64) -> Entry {
    entry(&params(rollup), &Wallet::new(who).raw(legacy(nonce, Address::repeat_byte(1), 3)))
}

const fn executed(index: usize) -> Outcome {
    Outcome::Executed { index }
}

#[test]
fn per_block_makes_a_block_where_something_executes() {
    let rollup = with_cadence(Cadence::PerBlock);
    let mut chain = chain(&rollup);
    let first = chain.execute(&cluster_block(1, 0, 5_999, vec![transfer(&rollup, 0, 0)])).unwrap();
    assert_eq!((first.number, &first.outcomes[..]), (Some(1), &[executed(0)][..]));
    let header = &first.made.as_ref().unwrap().sealed.header;
    assert_eq!((header.number, header.timestamp), (1, 5));
    assert_eq!(header.mix_hash, keccak256([1; 48]));
    assert_eq!(header.parent_beacon_block_root, Some(B256::from(digest(0).0)));
    let empty = chain.execute(&cluster_block(2, 1, 6_100, vec![])).unwrap();
    assert!(empty.made.is_none() && empty.number.is_none());
    let unlucky = vec![skipped(Skip::Malformed), transfer(&rollup, 0, 0)];
    let unlucky = chain.execute(&cluster_block(3, 2, 6_200, unlucky)).unwrap();
    assert!(unlucky.made.is_none());
    assert_eq!(unlucky.outcomes, [Skip::Malformed, Skip::NonceTooLow].map(Outcome::Skipped));
    let later = chain.execute(&cluster_block(4, 3, 6_300, vec![transfer(&rollup, 0, 1)])).unwrap();
    assert_eq!(later.number, Some(2));
    assert_eq!(chain.head().header.number, 0, "nothing is final yet");
    assert_eq!(chain.finalize(&digest(4)).unwrap().len(), 4);
    assert_eq!((chain.head().header.number, chain.finalized()), (2, (digest(4), 4)));
    assert_eq!(chain.past(1).unwrap().hash, first.made.as_ref().unwrap().sealed.hash);
    assert!(chain.past(3).is_none() && chain.executed(&digest(4)).is_none());
    assert_eq!(chain.finalize(&digest(4)).unwrap().len(), 0);
}

#[test]
fn slots_are_sealed_by_the_first_later_block() {
    let rollup = with_cadence(SLOTTED);
    let mut chain = chain(&rollup);
    let run = |chain: &mut Chain, number: u64, ms: u64, entries: Vec<Entry>| {
        chain.execute(&cluster_block(number, number - 1, ms, entries)).unwrap()
    };
    let a = run(&mut chain, 1, 10_500, vec![transfer(&rollup, 0, 0)]);
    assert_eq!((a.number, a.made.is_none()), (Some(1), true));
    assert_eq!(a.open().unwrap().env.timestamp, 10);
    let b = run(&mut chain, 2, 11_999, vec![transfer(&rollup, 1, 0), transfer(&rollup, 0, 9)]);
    assert_eq!(b.outcomes, [executed(1), Outcome::Skipped(Skip::NonceTooHigh)]);
    let pending = b.state().account(&Address::repeat_byte(1)).unwrap().balance;
    assert_eq!(pending, U256::from(6), "both slices are in the pending state");
    assert_eq!(b.head().header.number, 0);
    let c = run(&mut chain, 3, 12_000, vec![]);
    let made = c.made.as_ref().unwrap();
    assert_eq!((made.sealed.header.number, made.sealed.transactions().count()), (1, 2));
    assert_eq!((made.through_height, made.through_digest), (2, digest(2)));
    assert!(c.open().is_none());
    // Only skips: nothing is opened.
    let d = run(&mut chain, 4, 12_500, vec![transfer(&rollup, 0, 0)]);
    assert!(d.open().is_none() && d.number.is_none());
    let e = run(&mut chain, 5, 17_000, vec![transfer(&rollup, 0, 1)]);
    let f = run(&mut chain, 6, 18_000, vec![transfer(&rollup, 0, 2)]);
    let sealed = &f.made.as_ref().unwrap().sealed;
    assert_eq!((sealed.header.number, sealed.header.timestamp, e.number), (2, 16, Some(2)));
    assert_eq!(f.open().unwrap().env.timestamp, 18);
    chain.finalize(&digest(6)).unwrap();
    assert_eq!(chain.head().header.number, 2);
    assert_eq!(chain.open().unwrap().env.number, 3);
}

#[test]
fn pending_is_what_the_next_block_continues() {
    for cadence in [Cadence::PerBlock, SLOTTED] {
        let rollup = with_cadence(cadence);
        let mut chain = chain(&rollup);
        let pending = chain.pending(&cluster_block(1, 0, 5_000, vec![])).unwrap();
        assert!(pending.is_empty() && pending.env.number == 1);
        chain.execute(&cluster_block(1, 0, 5_000, vec![transfer(&rollup, 0, 0)])).unwrap();
        let next = cluster_block(2, 1, 5_500, vec![transfer(&rollup, 0, 1)]);
        let pending = chain.pending(&next).unwrap();
        let executed = chain.execute(&next).unwrap();
        assert_eq!(executed.number, Some(pending.env.number));
        assert_eq!(pending.is_empty(), cadence == Cadence::PerBlock);
        assert!(chain.pending(&cluster_block(9, 8, 0, vec![])).is_err());
    }
}

#[test]
fn blocks_need_their_parents_and_room() {
    let rollup = with_cadence(Cadence::PerBlock);
    let limits = ChainLimits { branches_max: 2, history_max: 2 };
    let mut chain = Chain::new(&rollup, digest(0), limits).unwrap();
    let orphan = chain.execute(&cluster_block(2, 1, 0, vec![])).unwrap_err();
    assert!(matches!(orphan, ChainError::UnknownParent { .. }), "{orphan}");
    assert!(matches!(chain.finalize(&digest(9)), Err(ChainError::UnknownBlock { .. })));
    chain.execute(&cluster_block(1, 0, 0, vec![transfer(&rollup, 0, 0)])).unwrap();
    chain.execute(&cluster_block(2, 1, 0, vec![transfer(&rollup, 0, 1)])).unwrap();
    let full = chain.execute(&cluster_block(3, 2, 0, vec![])).unwrap_err();
    assert_eq!(full, ChainError::TooManyBranches { max: 2 });
    // What is executed already is no new branch.
    chain.execute(&cluster_block(2, 1, 0, vec![])).unwrap();
    chain.finalize(&digest(2)).unwrap();
    assert!(chain.past(0).is_none(), "two states are kept");
    assert!(chain.past(1).is_some() && chain.past(2).is_some());
    assert!(
        Chain::new(&Rollup::opaque(1, "x", baton_types::genesis::Data::Bytes), digest(0), LIMITS).is_none()
    );
}

#[test]
fn finality_forgets_other_branches() {
    let rollup = with_cadence(Cadence::PerBlock);
    let mut chain = chain(&rollup);
    let store = |who: u64, value: u64| {
        let transaction = TxEip1559 { input: words(&[1, value]), ..call(0, contract(0)) };
        vec![entry(&params(&rollup), &Wallet::new(who).raw(transaction))]
    };
    chain.execute(&cluster_block(1, 0, 1_000, store(0, 1))).unwrap();
    chain.execute(&cluster_block(2, 1, 2_000, store(1, 2))).unwrap();
    chain.execute(&cluster_block(3, 1, 2_000, store(2, 3))).unwrap();
    chain.execute(&cluster_block(4, 2, 3_000, vec![])).unwrap();
    chain.execute(&cluster_block(5, 3, 3_000, vec![])).unwrap();
    chain.execute(&cluster_block(6, 5, 4_000, vec![])).unwrap();
    let value = |state: &State| state.storage(&contract(0), U256::ONE);
    assert_eq!(value(chain.executed(&digest(4)).unwrap().state()), U256::from(2));
    assert_eq!(value(chain.executed(&digest(6)).unwrap().state()), U256::from(3));
    chain.finalize(&digest(3)).unwrap();
    let left: Vec<_> = (1..=6).filter(|number| chain.executed(&digest(*number)).is_some()).collect();
    assert_eq!(left, [5, 6]);
    assert_eq!(value(&chain.head().state), U256::from(3));
}

/// Random trees of blocks with random finality: the final chain is that of a node which saw only it, its
/// headers are those of an independent executor, and a restart from the records goes on exactly.
#[test]
fn random_runs() {
    for cadence in [Cadence::PerBlock, SLOTTED] {
        for seed in 0..4 {
            random_run(&with_cadence(cadence), seed);
        }
    }
}

fn random_run(rollup: &Rollup, seed: u64) {
    let params = params(rollup);
    let mut rng = Rng::new(seed);
    let mut traffic = Traffic::new(seed, 12);
    let mut chain = chain(rollup);
    let (mut blocks, mut tips) = (BTreeMap::new(), vec![(0, 0)]);
    let mut finals = Vec::new();
    for number in 1..100_u64 {
        let (parent, parent_ms) = tips[tips.len() - 1 - rng.below(tips.len().min(2))];
        let before = chain.executed(&digest(parent));
        traffic.catch_up(before.map_or(&chain.head().state, |executed| executed.state()));
        let count = if rng.chance(30) { 0 } else { rng.below(8) };
        let entries = (0..count).map(|_| entry(&params, &traffic.raw())).collect();
        let ms = parent_ms + rng.next() % 1_500;
        let block = ClusterBlock { height: number, ..cluster_block(number, parent, ms, entries) };
        chain.execute(&block).unwrap();
        blocks.insert(number, block);
        tips.push((number, ms));
        if rng.chance(30) {
            let path = chain.finalize(&digest(number)).unwrap();
            finals.extend(path);
            tips = vec![(number, ms)];
        }
    }
    let numbers = finals.iter().map(|executed| executed.height);
    let alone = replay(rollup, numbers.map(|number| &blocks[&number]));
    assert_eq!(alone.head().hash, chain.head().hash, "seed {seed}");
    let records = check_against_oracle(rollup, &finals);
    assert!(records.len() > 5, "seed {seed}");
    for count in [0, 1, records.len() / 2, records.len()] {
        let restored = records[..count].iter().map(|bytes| Record::from_bytes(bytes).unwrap());
        let mut restored = self::chain(rollup).resume(restored).unwrap();
        let (_, height) = restored.finalized();
        for executed in finals.iter().filter(|executed| executed.height > height) {
            let again = restored.execute(&blocks[&executed.height]).unwrap();
            assert_eq!(again.outcomes, executed.outcomes, "seed {seed}, from {count}");
            restored.finalize(&executed.digest).unwrap();
        }
        assert_eq!(restored.head().hash, chain.head().hash, "seed {seed}, from {count}");
        assert_eq!(restored.open().map(|open| open.state.root()), chain.open().map(|open| open.state.root()));
    }
}

fn replay<'a>(rollup: &Rollup, blocks: impl Iterator<Item = &'a ClusterBlock>) -> Chain {
    let mut chain = chain(rollup);
    for block in blocks {
        chain.execute(block).unwrap();
        chain.finalize(&block.digest).unwrap();
    }
    chain
}

fn check_against_oracle(rollup: &Rollup, finals: &[Arc<Executed>]) -> Vec<Vec<u8>> {
    let params = params(rollup);
    let mut oracle = Oracle::genesis(rollup);
    let mut parent = params.genesis_header(oracle.root());
    let mut hashes = vec![parent.hash_slow()];
    let mut records = Vec::new();
    for made in finals.iter().filter_map(|executed| executed.made.as_ref()) {
        let header = &made.sealed.header;
        let transactions: Vec<Arc<Signed>> = made.sealed.transactions().cloned().collect();
        let expected = oracle.execute(&params, header, &hashes, &transactions);
        assert_eq!(*header, expected);
        assert_eq!(header.base_fee_per_gas, parent.next_block_base_fee(params.base_fee));
        let rises = header.timestamp > parent.timestamp;
        assert!(rises || params.cadence == Cadence::PerBlock && header.timestamp == parent.timestamp);
        hashes.push(header.hash_slow());
        parent = header.clone();
        records.push(made.record().to_bytes());
    }
    records
}

/// A node that got state and headers from another one goes on like it.
#[test]
fn a_checkpoint_goes_on() {
    let rollup = with_cadence(Cadence::PerBlock);
    let mut chain = chain(&rollup);
    let ask = |nonce| TxEip1559 { gas_limit: 400_000, ..call(nonce, contract(5)) };
    let block = |number: u64| {
        let raw = Wallet::new(0).raw(ask(number - 1));
        cluster_block(number, number - 1, 1_000 * number, vec![entry(&params(&rollup), &raw)])
    };
    for number in 1..5 {
        chain.execute(&block(number)).unwrap();
        chain.finalize(&digest(number)).unwrap();
    }
    let Past { state, header, .. } = (**chain.head()).clone();
    let checkpoint = Checkpoint { state, header, through_height: 4, through_digest: digest(4) };
    let start = |checkpoint| Chain::from_checkpoint(params(&rollup), LIMITS, checkpoint);
    let mut other = start(checkpoint.clone()).unwrap();
    for number in 5..8 {
        let made = chain.execute(&block(number)).unwrap();
        let again = other.execute(&block(number)).unwrap();
        assert_eq!(made.head().hash, again.head().hash);
    }
    let wrong = start(Checkpoint { state: State::default(), ..checkpoint }).unwrap_err();
    assert!(matches!(wrong, RecordError::StateRoot { number: 4, .. }), "{wrong}");
}

#[test]
fn records_of_another_chain_or_with_gaps_are_refused() {
    let rollup = with_cadence(Cadence::PerBlock);
    let mut chain = chain(&rollup);
    let mut records = Vec::new();
    for number in 1..4 {
        let block = cluster_block(number, number - 1, 1_000, vec![transfer(&rollup, 0, number - 1)]);
        chain.execute(&block).unwrap();
        let made = chain.finalize(&digest(number)).unwrap()[0].made.clone().unwrap();
        records.push(made.record());
    }
    let resume = |records: Vec<Record>| self::chain(&rollup).resume(records);
    assert_eq!(resume(records.clone()).unwrap().head().hash, chain.head().hash);
    let gap = resume(vec![records[0].clone(), records[2].clone()]).unwrap_err();
    assert!(matches!(gap, RecordError::Order { number: 3, after: 1 }), "{gap}");
    let mut forged = records.clone();
    let account = forged[2].changes.accounts.values_mut().next().unwrap();
    account.facts.as_mut().unwrap().balance += U256::ONE;
    let forged = resume(forged).unwrap_err();
    assert!(matches!(forged, RecordError::StateRoot { number: 3, .. }), "{forged}");
    let mut other = rollup.clone();
    other.evm.as_mut().unwrap().gas_limit += 1;
    let other = self::chain(&other).resume(records).unwrap_err();
    assert!(matches!(other, RecordError::Order { number: 1, after: 0 }), "{other}");
}
