//! Block 0 of a rollup in the form that execution clients start from (geth's `genesis.json`).

use super::check_rules;
use alloy_primitives::{Address, B256, U256};
use baton_execution::evm::state::system_contracts;
use baton_types::Rollup;
use eyre::{Result, eyre};
use serde_json::{Map, Value, json};

/// Forks that are on from block 0.
const BLOCKS: [&str; 9] = [
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
];

/// An error where no unmodified client can follow the rollup.
pub fn client_genesis(rollup: &Rollup) -> Result<Value> {
    check_rules(rollup)?;
    let evm = rollup.evm.as_ref().ok_or_else(|| eyre!("rollup {} is not of kind evm", rollup.name))?;
    let mut alloc = Map::new();
    for (address, account) in &evm.alloc {
        let mut entry = json!({
            "balance": format!("{:#x}", account.balance),
            "nonce": format!("{:#x}", account.nonce),
        });
        if let Some(code) = &account.code {
            entry["code"] = json!(code);
        }
        if !account.storage.is_empty() {
            entry["storage"] = json!(account.storage);
        }
        alloc.insert(address.to_string(), entry);
    }
    for (address, code) in system_contracts() {
        let entry = json!({"balance": "0x0", "nonce": "0x1", "code": code});
        alloc.insert(address.to_string().to_lowercase(), entry);
    }
    let mut config = json!({
        "chainId": evm.chain_id,
        "londonBlock": 0,
        "mergeForkBlock": 0,
        "terminalTotalDifficulty": 0,
        "terminalTotalDifficultyPassed": true,
        "shanghaiTime": 0,
        "cancunTime": 0,
        "pragueTime": 0,
        "blobSchedule": {
            "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477},
            "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716},
        },
    });
    BLOCKS.iter().for_each(|block| config[block] = json!(0));
    Ok(json!({
        "config": config,
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": "0x",
        "gasLimit": format!("{:#x}", evm.gas_limit),
        "difficulty": "0x0",
        "mixHash": B256::ZERO,
        "coinbase": Address::ZERO,
        "baseFeePerGas": U256::from(evm.base_fee.start),
        "excessBlobGas": "0x0",
        "blobGasUsed": "0x0",
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": B256::ZERO,
        "alloc": alloc,
    }))
}
