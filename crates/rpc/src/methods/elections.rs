//! Methods that show how authors were drawn, and what proves it.

use super::views;
use crate::api::{Api, Caller};
use baton_consensus::elections::EpochProofId;
use baton_types::{
    api::{ElectionParams, ElectionProofResult, ElectionView, EpochProofParams, EpochProofView},
    hex,
    receipt::{Reason, Refusal},
};

pub async fn election(api: Api, _: Caller, params: ElectionParams) -> Result<ElectionView, Refusal> {
    Ok(views::election(&api.chain, &api.client.election(params.height).await?))
}

pub async fn election_proof(
    api: Api,
    _: Caller,
    params: ElectionParams,
) -> Result<ElectionProofResult, Refusal> {
    let proof = api.client.election_proof(params.height, &api.chain.genesis).await?;
    Ok(ElectionProofResult::from(&proof))
}

pub async fn epoch_proof(api: Api, _: Caller, params: EpochProofParams) -> Result<EpochProofView, Refusal> {
    let id = epoch_proof_id(&params, api.chain.genesis.members.len())?;
    Ok(views::epoch_proof(&api.client.epoch_proof(id).await?))
}

#[doc(hidden)]
pub fn epoch_proof_id(params: &EpochProofParams, members: usize) -> Result<EpochProofId, Refusal> {
    let bad = |detail: String| Refusal::new(Reason::BadRequest, detail);
    match (params.epoch, params.member, &params.proof_hash) {
        (Some(epoch), Some(member), None) => {
            let known = u8::try_from(member).ok().filter(|member| usize::from(*member) < members);
            let member = known.ok_or_else(|| {
                bad(format!("member: {member}; this cluster has members 0 to {}", members.saturating_sub(1)))
            })?;
            Ok(EpochProofId::Of { epoch, member })
        }
        (None, None, Some(hash)) => {
            let hash = hex::decode_value(hash, &()).map_err(|error| bad(format!("proof_hash: {error}")))?;
            Ok(EpochProofId::Hash(hash))
        }
        _ => Err(bad("give epoch and member, or proof_hash alone".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_types::merkle::EMPTY;

    #[test]
    fn proofs_are_named_by_epoch_and_member_or_by_hash() {
        fn check(json: &str, expect: Result<EpochProofId, &str>) {
            let params: EpochProofParams = serde_json::from_str(json).unwrap();
            let got = epoch_proof_id(&params, 4).map_err(|refusal| refusal.detail);
            match (got, expect) {
                (Ok(got), Ok(expect)) => assert_eq!(got, expect),
                (Err(got), Err(expect)) => assert!(got.contains(expect), "{got}"),
                (got, expect) => panic!("{json}: {got:?} instead of {expect:?}"),
            }
        }
        let zero = format!("\"0x{}\"", "00".repeat(32));
        check(r#"{"epoch":3,"member":2}"#, Ok(EpochProofId::Of { epoch: 3, member: 2 }));
        check(&format!(r#"{{"proof_hash":{zero}}}"#), Ok(EpochProofId::Hash(EMPTY)));
        check(r#"{"epoch":3,"member":4}"#, Err("members 0 to 3"));
        check(r#"{"epoch":3,"member":300}"#, Err("members 0 to 3"));
        check(r#"{"proof_hash":"0x00"}"#, Err("proof_hash: "));
        for json in ["{}", r#"{"epoch":3}"#, r#"{"member":1}"#] {
            check(json, Err("give epoch and member, or proof_hash alone"));
        }
        check(&format!(r#"{{"epoch":3,"member":2,"proof_hash":{zero}}}"#), Err("proof_hash alone"));
    }
}
