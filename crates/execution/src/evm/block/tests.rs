use super::{
    super::{
        Skip,
        testing::{
            DESTRUCT, GWEI, LOG, Oracle, STORE, Traffic, Wallet, call, contract, create, delegation, deploy,
            entry, legacy, params, rollup, skipped, with_access_list, words,
        },
    },
    *,
};
use alloy_consensus::TxEip1559;
use alloy_eips::{eip2935, eip4788, eip7002, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, Bytes, TxKind, keccak256};

/// A rollup of twelve rich wallets with its first block open.
struct Setup {
    params: Params,
    genesis: Header,
    oracle: Oracle,
    block: OpenBlock,
}

const SEED: B256 = B256::repeat_byte(0x5e);

fn setup() -> Setup {
    let rollup = rollup(12);
    let params = params(&rollup);
    let state = State::genesis(rollup.evm.as_ref().unwrap());
    let genesis = params.genesis_header(state.root());
    let mut hashes = RecentHashes::default();
    hashes.push(0, genesis.hash_slow());
    let env = Env {
        parent_hash: genesis.hash_slow(),
        number: 1,
        timestamp: 1_700_000_000,
        prevrandao: SEED,
        base_fee: params.next_base_fee(&genesis),
        parent_beacon_root: B256::repeat_byte(0xbb),
    };
    let block = OpenBlock::open(&params, env, state, hashes);
    Setup { params, genesis, oracle: Oracle::genesis(&rollup), block }
}

impl Setup {
    fn run(&mut self, raws: &[Bytes]) -> Vec<Outcome> {
        let entries: Vec<_> = raws.iter().map(|raw| entry(&self.params, raw)).collect();
        self.block.execute(&self.params, &entries)
    }

    fn one(&mut self, raw: &[u8]) -> Outcome {
        self.run(&[raw.to_vec().into()])[0]
    }

    /// Seals, and compares with what the oracle makes of the same transactions.
    fn seal(mut self) -> Sealed {
        let sealed = self.block.seal(&self.params);
        let transactions: Vec<_> = sealed.transactions().cloned().collect();
        let hashes = [self.genesis.hash_slow()];
        let expected = self.oracle.execute(&self.params, &sealed.header, &hashes, &transactions);
        assert_eq!(sealed.header, expected);
        assert_eq!(sealed.hash, expected.hash_slow());
        let slots: usize = self.oracle.0.values().map(|account| account.storage.len()).sum();
        let (accounts, own_slots, _) = sealed.state.count();
        assert_eq!((accounts, own_slots), (self.oracle.0.len() as u64, slots as u64));
        sealed
    }
}

fn wallet(index: u64) -> Wallet {
    Wallet::new(index)
}

const fn executed(index: usize) -> Outcome {
    Outcome::Executed { index }
}

fn statuses(sealed: &Sealed) -> Vec<bool> {
    sealed.receipts().map(|receipt| receipt.status()).collect()
}

#[test]
fn every_type_executes() {
    let mut setup = setup();
    let authority = Wallet::new(100);
    let authorization = authority.authorize(0, contract(0));
    let raws = [
        wallet(0).raw(legacy(0, Address::repeat_byte(1), 3)),
        wallet(1).raw(with_access_list(0, contract(0))),
        wallet(2).raw(TxEip1559 { value: U256::from(5), ..call(0, Address::repeat_byte(1)) }),
        wallet(3).raw(create(0, deploy(LOG))),
        wallet(4).raw(delegation(0, authority.address, vec![authorization])),
    ];
    assert_eq!(setup.run(&raws), (0..5).map(executed).collect::<Vec<_>>());
    let created = wallet(3).address.create(0);
    assert_eq!(setup.one(&wallet(5).raw(call(0, created))), executed(5));
    let sealed = setup.seal();
    assert_eq!(statuses(&sealed), [true; 6]);
    let state = &sealed.state;
    assert_eq!(state.account(&Address::repeat_byte(1)).unwrap().balance, U256::from(8));
    assert_eq!(state.storage(&contract(0), U256::ZERO), U256::from(7));
    // The delegated wallet ran the contract's code on its own storage.
    assert_eq!(state.storage(&authority.address, U256::ONE), U256::from(9));
    let code_hash = state.account(&authority.address).unwrap().code_hash;
    let code = state.code(&code_hash).unwrap().original_bytes();
    assert_eq!(code[..], [&[0xef, 0x01, 0x00][..], contract(0).as_slice()].concat());
    let receipt = sealed.receipts().last().unwrap();
    assert_eq!(receipt.logs()[0].address, created);
    assert_eq!(receipt.logs()[0].topics()[0], wallet(5).address.into_word());
    assert!(!sealed.header.logs_bloom.is_zero());
}

#[test]
fn a_delegation_can_be_taken_back() {
    let mut setup = setup();
    let authority = Wallet::new(100);
    let to = authority.address;
    let set = delegation(0, to, vec![authority.authorize(0, contract(0))]);
    let clear = delegation(1, to, vec![authority.authorize(1, Address::ZERO)]);
    assert_eq!(setup.run(&[wallet(0).raw(set), wallet(0).raw(clear)]), [executed(0), executed(1)]);
    let sealed = setup.seal();
    let facts = sealed.state.account(&to).unwrap();
    assert_eq!((facts.nonce, facts.code_hash), (2, alloy_primitives::KECCAK256_EMPTY));
    assert_eq!(sealed.state.storage(&to, U256::ONE), U256::from(9));
}

#[test]
fn what_fails_pays_and_has_a_receipt() {
    let mut setup = setup();
    let raws = [
        wallet(0).raw(call(0, contract(2))),
        wallet(1).raw(call(0, contract(3))),
        // Less gas than the first store needs.
        wallet(2).raw(TxEip1559 { gas_limit: 23_000, input: words(&[1, 2]), ..call(0, contract(0)) }),
    ];
    assert_eq!(setup.run(&raws), [executed(0), executed(1), executed(2)]);
    let sealed = setup.seal();
    assert_eq!(statuses(&sealed), [false; 3]);
    assert_eq!(sealed.state.storage(&contract(2), U256::ZERO), U256::ZERO);
    assert_eq!(sealed.state.account(&wallet(1).address).unwrap().nonce, 1);
    let spent = sealed.receipts().nth(1).unwrap().cumulative_gas_used()
        - sealed.receipts().next().unwrap().cumulative_gas_used();
    assert_eq!(spent, 200_000, "an invalid instruction takes all the gas");
}

/// EIP-6780: only what was created in the same transaction goes.
#[test]
fn self_destruction() {
    let mut setup = setup();
    let init = TxEip1559 { value: U256::from(9), ..create(0, DESTRUCT.to_vec()) };
    let into = TxEip1559 { value: U256::from(6), ..call(1, contract(4)) };
    assert_eq!(setup.run(&[wallet(0).raw(init), wallet(0).raw(into)]), [executed(0), executed(1)]);
    let sealed = setup.seal();
    assert_eq!(sealed.state.account(&wallet(0).address.create(0)), None);
    let old = sealed.state.account(&contract(4)).unwrap();
    assert_eq!((old.balance, old.nonce, old.code_hash), (U256::ZERO, 1, keccak256(DESTRUCT)));
}

#[test]
fn the_environment_is_what_the_cluster_says() {
    let mut setup = setup();
    assert_eq!(
        setup.one(&wallet(0).raw(TxEip1559 { gas_limit: 400_000, ..call(0, contract(5)) })),
        executed(0)
    );
    let (params, env) = (setup.params.clone(), setup.block.env);
    let sealed = setup.seal();
    let slot = |slot: u64| sealed.state.storage(&contract(5), U256::from(slot));
    assert_eq!(slot(0), U256::ONE);
    assert_eq!(slot(1), U256::from(env.timestamp));
    assert_eq!(slot(2), U256::from_be_bytes(SEED.0));
    assert_eq!(slot(3), U256::from(env.base_fee));
    assert_eq!(Address::from_word(slot(4).into()), params.fee_recipient);
    assert_eq!(slot(5), U256::from(params.chain_id));
    assert_eq!(slot(6), U256::from(params.gas_limit));
    assert_eq!(slot(7), U256::ONE);
    assert_eq!(slot(8), U256::from_be_bytes(env.parent_hash.0));
}

#[test]
fn system_calls_leave_their_marks() {
    let mut setup = setup();
    setup.one(&wallet(0).raw(legacy(0, Address::repeat_byte(1), 3)));
    let env = setup.block.env;
    let sealed = setup.seal();
    // EIP-2935: the parent's hash under its number. EIP-4788: time and root in rings of 8191.
    let history = sealed.state.storage(&eip2935::HISTORY_STORAGE_ADDRESS, U256::ZERO);
    assert_eq!(B256::from(history), env.parent_hash);
    let at = U256::from(env.timestamp % 8_191);
    assert_eq!(sealed.state.storage(&eip4788::BEACON_ROOTS_ADDRESS, at), U256::from(env.timestamp));
    let root = sealed.state.storage(&eip4788::BEACON_ROOTS_ADDRESS, at + U256::from(8_191));
    assert_eq!(B256::from(root), env.parent_beacon_root);
    assert_eq!(sealed.header.requests_hash, Some(EMPTY_REQUESTS_HASH));
}

/// A withdrawal request reaches the block's requests (EIP-7002), whoever may do something with it.
#[test]
fn requests_are_in_the_header() {
    let mut setup = setup();
    let to = eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
    let request = TxEip1559 { value: U256::ONE, input: vec![7; 56].into(), ..call(0, to) };
    assert_eq!(setup.one(&wallet(0).raw(request)), executed(0));
    let sealed = setup.seal();
    assert_eq!(statuses(&sealed), [true]);
    assert_eq!(sealed.requests.len(), 1);
    assert_ne!(sealed.header.requests_hash, Some(EMPTY_REQUESTS_HASH));
}

#[test]
fn reasons_to_skip() {
    let poor = Wallet::new(100);
    let to = Address::repeat_byte(1);
    let rows: Vec<(Bytes, Skip)> = vec![
        (wallet(0).raw(call(0, to)), Skip::NonceTooLow),
        (wallet(0).raw(call(2, to)), Skip::NonceTooHigh),
        (poor.raw(call(0, to)), Skip::Balance),
        (wallet(1).raw(TxEip1559 { value: U256::MAX, ..call(0, to) }), Skip::Balance),
        (
            wallet(1).raw(TxEip1559 { max_fee_per_gas: 1, max_priority_fee_per_gas: 0, ..call(0, to) }),
            Skip::FeeBelowBase,
        ),
        (wallet(1).raw(TxEip1559 { gas_limit: 29_990_000, ..call(0, to) }), Skip::BlockGas),
        (vec![1, 2, 3].into(), Skip::Malformed),
    ];
    let mut setup = setup();
    assert_eq!(setup.one(&wallet(0).raw(call(0, to))), executed(0));
    let before = setup.block.state.root();
    for (number, (raw, skip)) in rows.iter().enumerate() {
        assert_eq!(setup.one(raw), Outcome::Skipped(*skip), "row {number}");
        assert_eq!(setup.block.state.root(), before, "row {number}");
    }
    let all = setup.block.execute(&setup.params, &[skipped(Skip::TooLarge)]);
    assert_eq!(all, [Outcome::Skipped(Skip::TooLarge)]);
    assert_eq!(setup.block.slices.len(), 1, "slices without transactions are none");
    setup.seal();
}

#[test]
fn contracts_cannot_sign_but_delegated_wallets_can() {
    let mut setup = setup();
    let contract_with_key = Wallet::new(100);
    let mut changes = Changes::default();
    let code = Some(STORE.to_vec().into());
    changes.put(contract_with_key.address, 0, U256::from(10_u64.pow(18)), code, Default::default());
    setup.block.state.apply(&changes).unwrap();
    let raw = contract_with_key.raw(call(0, Address::repeat_byte(1)));
    assert_eq!(setup.one(&raw), Outcome::Skipped(Skip::SenderIsContract));
    let own = wallet(0).authorize(1, contract(0));
    let delegated = wallet(0).raw(delegation(0, wallet(0).address, vec![own]));
    assert_eq!(setup.one(&delegated), executed(0));
    assert_eq!(setup.one(&wallet(0).raw(call(2, Address::repeat_byte(1)))), executed(1));
}

/// What is skipped must not warm anything up for what comes after it.
#[test]
fn skipped_transactions_leave_no_trace() {
    let good = wallet(1).raw(TxEip1559 { input: words(&[1, 2]), ..call(0, contract(0)) });
    let bad = wallet(0).raw(TxEip1559 { input: words(&[1, 3]), ..call(5, contract(0)) });
    let poor = Wallet::new(100).raw(call(0, contract(0)));
    let mut alone = setup();
    alone.run(std::slice::from_ref(&good));
    let mut among = setup();
    assert_eq!(
        among.run(&[bad.clone(), poor.clone(), good, bad, poor]),
        [
            Outcome::Skipped(Skip::NonceTooHigh),
            Outcome::Skipped(Skip::Balance),
            executed(0),
            Outcome::Skipped(Skip::NonceTooHigh),
            Outcome::Skipped(Skip::Balance)
        ]
    );
    assert_eq!(alone.seal().hash, among.seal().hash);
}

#[test]
fn bundles_are_all_or_nothing() {
    let mut setup = setup();
    let legs = |numbers: &[(u8, Bytes)], params: &Params| -> Vec<Entry> {
        let entries = numbers.iter().map(|(bundle, raw)| {
            let bundle = (*bundle > 0).then_some(TxId([*bundle; 32]));
            Entry { bundle, ..entry(params, raw) }
        });
        entries.collect()
    };
    let store = |who: u64, nonce, value| {
        wallet(who).raw(TxEip1559 { input: words(&[1, value]), ..call(nonce, contract(0)) })
    };
    let entries = legs(
        &[
            (0, store(0, 0, 1)),
            // The second leg cannot run, so the first does not either: its nonce is free again.
            (1, store(0, 1, 2)),
            (1, store(1, 7, 3)),
            (1, store(0, 2, 3)),
            (2, store(0, 1, 4)),
            (2, store(2, 0, 5)),
            // Torn apart.
            (3, store(3, 0, 6)),
            (0, store(4, 0, 7)),
            (3, store(3, 1, 8)),
        ],
        &setup.params,
    );
    let bundle = Outcome::Skipped(Skip::Bundle);
    assert_eq!(
        setup.block.execute(&setup.params, &entries),
        [
            executed(0),
            bundle,
            Outcome::Skipped(Skip::NonceTooHigh),
            bundle,
            executed(1),
            executed(2),
            bundle,
            executed(3),
            bundle,
        ]
    );
    assert_eq!(setup.block.state.storage(&contract(0), U256::ONE), U256::from(7));
    setup.seal();
}

/// Whatever a failed bundle did is undone: creation, destruction, storage, delegation.
#[test]
fn failed_bundles_leave_no_trace() {
    for seed in 0..12 {
        let mut traffic = Traffic::new(seed, 12);
        let before: Vec<_> = (0..20).map(|_| traffic.raw()).collect();
        let (mut with, mut without) = (setup(), setup());
        with.run(&before);
        without.run(&before);
        traffic.catch_up(&with.block.state);
        let nonces = traffic.nonces.clone();
        let mut legs: Vec<_> = (0..15).map(|_| traffic.raw()).collect();
        legs.push(vec![0xff].into());
        let bundle = Some(TxId([1; 32]));
        let mut entries: Vec<_> =
            legs.iter().map(|raw| Entry { bundle, ..entry(&with.params, raw) }).collect();
        traffic.nonces = nonces;
        let after: Vec<_> = (0..20).map(|_| traffic.raw()).collect();
        entries.extend(after.iter().map(|raw| entry(&with.params, raw)));
        let outcomes = with.block.execute(&with.params, &entries);
        assert!(outcomes[..16].iter().all(|outcome| matches!(outcome, Outcome::Skipped(_))));
        let expected: Vec<_> = after.iter().map(|raw| entry(&without.params, raw)).collect();
        assert_eq!(outcomes[16..], without.block.execute(&without.params, &expected));
        assert_eq!(with.seal().hash, without.seal().hash, "seed {seed}");
    }
}

/// Cutting a block into slices changes nothing but where it may be cut.
#[test]
fn slices_make_the_same_block() {
    for seed in 0..6 {
        let mut traffic = Traffic::new(seed, 12);
        let raws: Vec<_> = (0..60).map(|_| traffic.raw()).collect();
        let mut whole = setup();
        let outcomes = whole.run(&raws);
        let mut cut = setup();
        let mut cut_outcomes = Vec::new();
        for chunk in raws.chunks(7) {
            cut_outcomes.extend(cut.run(chunk));
        }
        assert_eq!(outcomes, cut_outcomes);
        let (whole, cut) = (whole.seal(), cut.seal());
        assert_eq!(whole.hash, cut.hash);
        for sealed in [whole, cut] {
            let mut state = State::genesis(rollup(12).evm.as_ref().unwrap());
            state.apply(&sealed.changes).unwrap();
            assert_eq!(state.root(), sealed.header.state_root);
        }
    }
}

#[test]
fn gas_of_a_block_is_bounded() {
    let mut setup = setup();
    // All their gas, each.
    let burn = |who: u64, gas_limit| wallet(who).raw(TxEip1559 { gas_limit, ..call(0, contract(3)) });
    assert_eq!(
        setup.run(&[burn(0, 20_000_000), burn(1, 10_000_001), burn(2, 10_000_000), burn(3, 21_000)]),
        [executed(0), Outcome::Skipped(Skip::BlockGas), executed(1), Outcome::Skipped(Skip::BlockGas)]
    );
    let params = setup.params.clone();
    let sealed = setup.seal();
    assert_eq!(sealed.header.gas_used, params.gas_limit);
    // A full block raises the price by an eighth, an empty one lowers it as much.
    let next = params.next_base_fee(&sealed.header);
    let base_fee = sealed.header.base_fee_per_gas.unwrap();
    assert_eq!(next, base_fee + base_fee / 8);
    let empty = Header { gas_used: 0, ..sealed.header };
    assert_eq!(params.next_base_fee(&empty), base_fee - base_fee / 8);
}

#[test]
fn base_fees_are_burned_and_tips_paid() {
    let mut setup = setup();
    let transfer = TxEip1559 { to: TxKind::Call(Address::repeat_byte(1)), ..call(0, Address::ZERO) };
    setup.one(&wallet(0).raw(transfer));
    let (recipient, base_fee) = (setup.params.fee_recipient, u128::from(setup.block.env.base_fee));
    let before = setup.oracle.0[&wallet(0).address].balance;
    let sealed = setup.seal();
    assert_eq!(sealed.state.account(&recipient).unwrap().balance, U256::from(21_000 * GWEI));
    let after = sealed.state.account(&wallet(0).address).unwrap().balance;
    assert_eq!(before - after, U256::from(21_000 * (GWEI + base_fee)));
}
