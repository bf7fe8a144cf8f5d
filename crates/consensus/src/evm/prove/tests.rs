use super::*;
use crate::testing::{Dealt, change_leaf};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::{eip2718::Encodable2718 as _, eip2935::HISTORY_STORAGE_ADDRESS};
use alloy_primitives::TxKind;
use baton_execution::evm::{
    AccountFacts, Chain, ClusterBlock, Entry, Params, Signed, State, Stored, proof::Refused,
};
use baton_types::{
    Digest, Epoch, GroupKey, Header, Results, Rollup, Round, View,
    genesis::evm::{AllocAccount, Evm},
    hex::{self, HexArray},
    proof::evm::EvmProofFile,
    results::results_root,
};
use commonware_consensus::simplex::types::Proposal;
use rand::{SeedableRng as _, rngs::StdRng};

const ROLLUP: RollupId = RollupId(4);

fn wallet() -> Address {
    let signature = sign_message(secret(), B256::ZERO).expect("it signs");
    signature.recover_address_from_prehash(&B256::ZERO).expect("its own")
}

fn secret() -> B256 {
    keccak256(b"wallet")
}

fn transfer(nonce: u64) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id: 2_211,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0x11)),
        value: U256::from(nonce + 1),
        ..TxEip1559::default()
    };
    let signature = sign_message(secret(), transaction.signature_hash()).expect("it signs");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

/// Two blocks of a rollup, the second attested by a block that is certified itself.
struct World {
    group_key: GroupKey,
    attested_by: BlockProof,
    results: Results,
    blocks: Vec<Stored>,
    state: State,
}

impl World {
    fn new() -> Self {
        let mut evm = Evm::new(2_211);
        let rich = AllocAccount { balance: 1_000_000_000_000_000_000, ..AllocAccount::default() };
        evm.alloc.insert(HexArray(wallet().0.0), rich);
        let rollup = Rollup::evm(ROLLUP.0, "evm", evm);
        let params = Params::new(&rollup).expect("an evm rollup");
        let digest = |number: u8| Digest::from([number; 32]);
        let mut chain = Chain::new(&rollup, digest(0), crate::evm::execution::LIMITS).expect("an evm rollup");
        let mut blocks = Vec::new();
        for (number, nonces) in [(1, 0..3), (2, 3..4)] {
            let entry = |nonce| Entry {
                transaction: Signed::decode(&transfer(nonce), &params).map(Arc::new),
                bundle: None,
            };
            let block = ClusterBlock {
                digest: digest(number),
                parent: digest(number - 1),
                height: number.into(),
                timestamp_ms: 1_700_000_000_000,
                parent_seed: [0; 48],
                entries: nonces.map(entry).collect(),
            };
            let executed = chain.execute(&block).expect("its parent is executed");
            blocks.push(Stored::new(executed.made.as_ref().expect("a block"), Vec::new()));
            chain.finalize(&block.digest).expect("just executed");
        }
        let other = (RollupId(9), ExecutionResult::genesis(7));
        let results = Results::from([(ROLLUP, chain.result()), other]);
        let dealt = Dealt::new();
        let genesis = dealt.genesis.block().expect("checked");
        let header =
            Header { height: 5, view: 6, results_root: results_root(&results), ..genesis.header().clone() };
        let round = Round::new(Epoch::zero(), View::new(6));
        let proposal = Proposal::new(round, View::zero(), header.digest());
        let certificate = dealt.certify(&header.chain, proposal);
        Self {
            group_key: dealt.genesis.group_key().expect("checked"),
            attested_by: BlockProof { header, history: None, certificate },
            results,
            blocks,
            state: chain.head().state.snapshot(),
        }
    }

    /// Of the newest block, or of one before.
    fn prove(&self, number: usize, subject: Subject) -> EvmProof {
        let headers = self.blocks[number - 1..].iter().rev().map(|block| block.record.header.clone());
        EvmProof {
            rollup: ROLLUP,
            attested_by: self.attested_by.clone(),
            results: self.results.clone(),
            headers: headers.collect(),
            subject,
        }
    }

    fn account(&self, address: Address, slots: &[u64]) -> EvmProof {
        let slots: Vec<_> = slots.iter().map(|slot| U256::from(*slot)).collect();
        self.prove(2, Subject::Account(self.state.prove(address, &slots)))
    }

    fn receipt(&self, number: usize, index: u32) -> EvmProof {
        let proof = ReceiptProof::new(&self.blocks[number - 1], index).expect("it is there");
        self.prove(number, Subject::Receipt(proof))
    }

    fn all(&self) -> [(&'static str, EvmProof); 5] {
        [
            ("account", self.account(wallet(), &[])),
            ("storage", self.account(HISTORY_STORAGE_ADDRESS, &[1, 77])),
            ("absent", self.account(Address::repeat_byte(0x99), &[5])),
            ("receipt", self.receipt(1, 2)),
            ("lone receipt", self.receipt(2, 0)),
        ]
    }

    fn verify(&self, proof: &EvmProof) -> Result<u64, Refused> {
        proof.verify(&mut StdRng::seed_from_u64(1), &self.group_key).map(|header| header.number)
    }
}

#[test]
fn proofs_hold_for_their_block_and_key() {
    let world = World::new();
    for (name, proof) in world.all() {
        let number = if name == "receipt" { 1 } else { 2 };
        assert_eq!(world.verify(&proof), Ok(number), "{name}");
        let file = EvmProofFile::from(&proof);
        assert_eq!(EvmProof::try_from(&file).as_ref(), Ok(&proof), "{name}");
        let other = EvmProof { rollup: RollupId(9), ..proof.clone() };
        assert_eq!(world.verify(&other), Err(Refused::NotAttested(RollupId(9))));
        let none = EvmProof { headers: Vec::new(), ..proof };
        assert_eq!(world.verify(&none), Err(Refused::Header { index: 0 }));
    }
    assert_eq!(world.receipt(1, 0).headers.len(), 2);
}

/// In full: what other verifiers are tested with.
#[test]
fn vectors() {
    let world = World::new();
    let case = |(name, proof): (&str, EvmProof)| {
        let file = serde_json::to_string(&EvmProofFile::from(&proof)).expect("it is JSON");
        let hash = proof.headers.last().map(|header| header.hash_slow()).expect("one at least");
        format!(r#"{{"name":"{name}","block":"{hash}","file":{file}}}"#)
    };
    let (key, cases) = (hex::encode_value(&world.group_key), world.all().map(case).join(",\n"));
    let expected = format!("{{\"group_key\":\"{key}\",\"cases\":[\n{cases}\n]}}\n");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/evm-proof.json");
    if std::env::var_os("BATON_BLESS").is_some() {
        std::fs::write(path, &expected).expect("it can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "specs/vectors/evm-proof.json differs; if that is meant: cargo xtask vectors");
}

#[test]
fn every_field_of_the_file_matters() {
    let world = World::new();
    let mut changed = 0;
    for (name, proof) in world.all() {
        let sound = serde_json::to_value(EvmProofFile::from(&proof)).expect("it is JSON");
        for digit in [0, 1, 41, 333] {
            for leaf in 0.. {
                let mut value = sound.clone();
                if !change_leaf(&mut value, &mut leaf.clone(), digit) {
                    break;
                }
                changed += 1;
                let Ok(file) = serde_json::from_value::<EvmProofFile>(value.clone()) else { continue };
                let Ok(mutant) = EvmProof::try_from(&file) else { continue };
                let refused = world.verify(&mutant).is_err();
                assert!(
                    refused || is_absence(&mutant, &proof),
                    "{name}: leaf {leaf}, digit {digit}: {value}"
                );
            }
        }
    }
    assert!(changed > 4 * 70, "{changed} changes");
}

/// What shows that nothing is there may show it of another account or slot, too: as true, and no forgery.
fn is_absence(mutant: &EvmProof, sound: &EvmProof) -> bool {
    let (Subject::Account(mutant), Subject::Account(sound)) = (&mutant.subject, &sound.subject) else {
        return false;
    };
    let mut same = mutant.clone();
    if same.facts == AccountFacts::default() {
        same.address = sound.address;
    }
    let slots = same.slots.iter_mut().zip(&sound.slots).filter(|(slot, _)| slot.value.is_zero());
    slots.for_each(|(slot, sound)| slot.slot = sound.slot);
    same == *sound
}

/// A node too few, too many, or of another proof.
#[test]
fn lists_of_nodes_are_whole() {
    let world = World::new();
    for (name, proof) in world.all() {
        let file = EvmProofFile::from(&proof);
        let mut spoiled = Vec::new();
        for cut in [true, false] {
            let change = |nodes: &mut Vec<String>| match nodes.last().cloned() {
                Some(_) if cut => drop(nodes.pop()),
                Some(last) => nodes.push(last),
                None => nodes.push("0x80".to_owned()),
            };
            let mut other = file.clone();
            change(&mut other.headers);
            spoiled.push(other);
            let mut other = file.clone();
            match (&mut other.account, &mut other.receipt) {
                (Some(account), _) => change(&mut account.nodes),
                (_, Some(receipt)) => change(&mut receipt.receipt_nodes),
                _ => unreachable!("one of them is there"),
            }
            spoiled.push(other);
        }
        for file in spoiled {
            let proof = EvmProof::try_from(&file).expect("it decodes");
            assert!(world.verify(&proof).is_err(), "{name}");
        }
    }
}
