//! Times, sizes and security of all kinds of proof. `cargo bench -p baton-vrf`.

use baton_vrf::{Beacon, Context, EpochSecrets, Rounds, SecretKey, Security, SingleProof};
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{hint::black_box, time::Duration};

const CONTEXT: Context = Context { chain: [1; 32], epoch: 2, beacon: Beacon([3; 32]) };
const LATER: Beacon = Beacon([4; 32]);

fn epoch(group: &mut BenchmarkGroup<'_, WallTime>, count: u32) {
    let rounds = Rounds::new(count).expect("a number of rounds");
    let mut rng = StdRng::from_seed([5; 32]);
    let secret = SecretKey::random(&mut rng);
    let key = secret.public_key();
    let secrets = EpochSecrets::new(&secret, CONTEXT, rounds);
    let proof = secrets.prove(&mut rng).expect("every key has a proof");
    let bytes = proof.to_bytes().len();
    println!(
        "epoch proof of {count}: {bytes} bytes, {} per turn; {:?}",
        bytes.div_ceil(proof.leaves().len()),
        Security::of_epoch_proof(rounds)
    );
    group.bench_function(format!("{count}/openings"), |b| {
        b.iter(|| EpochSecrets::new(black_box(&secret), CONTEXT, rounds));
    });
    group.bench_function(format!("{count}/prove"), |b| b.iter(|| secrets.prove(&mut rng)));
    group.bench_function(format!("{count}/verify"), |b| {
        b.iter(|| proof.verify(black_box(&key), &CONTEXT, rounds));
    });
    let (root, reveal) = (secrets.root(), secrets.reveal(count / 2).expect("a turn within the rounds"));
    println!("reveal of {count}: {} bytes", reveal.to_bytes().len());
    group.bench_function(format!("{count}/reveal"), |b| {
        b.iter(|| reveal.verify(black_box(&root), &key, &CONTEXT, &LATER));
    });
    group.bench_function(format!("{count}/leaf"), |b| b.iter(|| black_box(&reveal.opening).leaf()));
}

fn single(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut rng = StdRng::from_seed([6; 32]);
    let secret = SecretKey::random(&mut rng);
    let key = secret.public_key();
    let proof = SingleProof::new(&secret, &CONTEXT, 7, &mut rng).expect("every key has a proof");
    println!("single proof: {} bytes; {:?}", proof.to_bytes().len(), Security::of_single_proof());
    group.bench_function("single/prove", |b| b.iter(|| SingleProof::new(&secret, &CONTEXT, 7, &mut rng)));
    group.bench_function("single/verify", |b| b.iter(|| proof.verify(black_box(&key), &CONTEXT, 7, &LATER)));
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    let mut group = criterion.benchmark_group("vrf");
    [63, 255, 1023].into_iter().for_each(|count| epoch(&mut group, count));
    single(&mut group);
    group.finish();
    criterion.final_summary();
}
