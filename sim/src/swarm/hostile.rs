//! Draws members that do not keep the rules: no more than the cluster bears, and nothing that the others' properties
//! may suffer from. A flood is left out: it takes long to order, and shows no more than that.

use crate::{
    byzantine::{Behaviour, Kind, Trick},
    scenario::Chain,
    wallet::Evm,
};
use baton_consensus::{History, network::Channel};
use baton_types::{faults_tolerated, genesis::Election};
use rand::{RngExt as _, rngs::StdRng};

/// Which members are hostile, and how; none in most draws.
pub fn draw(rng: &mut StdRng, nodes: u16, chain: &Chain, history: History) -> Vec<(usize, Behaviour)> {
    let bearable = faults_tolerated(u32::from(nodes)) as usize;
    if bearable == 0 || !rng.random_bool(0.25) {
        return Vec::new();
    }
    let nodes = usize::from(nodes);
    let (first, count) = (rng.random_range(0..nodes), rng.random_range(1..=bearable));
    let members = (first..first + count).map(|member| member % nodes);
    members.map(|member| (member, behaviour(rng, nodes, chain, history))).collect()
}

fn behaviour(rng: &mut StdRng, nodes: usize, chain: &Chain, history: History) -> Behaviour {
    let mut members: Vec<usize> = (0..nodes).filter(|_| rng.random_bool(0.5)).collect();
    // A side that is neither empty nor everybody.
    if members.len().is_multiple_of(nodes) {
        members = vec![rng.random_range(0..nodes)];
    }
    let channels = Channel::ALL.into_iter().filter(|_| rng.random_bool(0.3)).collect();
    if chain.election == Election::ZkLottery && rng.random_bool(0.5) {
        return Behaviour::Lottery(trick(rng, members));
    }
    let mut all = vec![
        Behaviour::Twin(members.clone()),
        Behaviour::Equivocate,
        Behaviour::BreakRules,
        Behaviour::ConflictingVotes,
        Behaviour::RareFinality,
        Behaviour::Withhold(channels, members),
        Behaviour::Garbage,
        Behaviour::Lie,
        Behaviour::Requests,
        Behaviour::Stale,
        Behaviour::Resend,
        Behaviour::FalseAcks,
        Behaviour::FalseVotes,
    ];
    if chain.evm == Evm::Arrival {
        all.push(Behaviour::Waste);
    }
    if history != History::Full {
        all.extend([Behaviour::FalseFloors, Behaviour::FalseStates]);
    }
    all.swap_remove(rng.random_range(0..all.len()))
}

fn trick(rng: &mut StdRng, members: Vec<usize>) -> Trick {
    let kinds = [Kind::Reveal, Kind::Designate, Kind::Built, Kind::Have, Kind::Copy, Kind::Body];
    let kinds: Vec<_> = kinds.into_iter().filter(|_| rng.random_bool(0.4)).collect();
    let mut all = vec![
        Trick::Decline,
        Trick::Hide(kinds.clone(), members.clone()),
        Trick::Delay(kinds, rng.random_range(50..1_000)),
        Trick::OneReceiver,
        Trick::ForgeReveals,
        Trick::WildDesignations,
        Trick::Usurp,
        Trick::Intrude,
        Trick::BreakDraws,
        Trick::OtherParent { corrects: rng.random_bool(0.5) },
        Trick::Accuse(members),
        Trick::FalseProofs,
        Trick::FalseHolds,
        Trick::FalseWords,
    ];
    all.swap_remove(rng.random_range(0..all.len()))
}
