//! Every target with its corpus and some mutants: short enough for each change.

use baton_fuzz::{Target, run, targets};
use std::{collections::BTreeSet, fs, path::Path};

/// For a target that costs little.
const MUTANTS: u64 = 4_000;

/// One test, for memory is that of the whole process.
#[test]
fn decoders_withstand_mutants() {
    let targets = targets();
    every_corpus_has_one(&targets);
    for target in targets {
        let stats = run(&target, (MUTANTS / target.cost).max(20), 1);
        println!("{:18} {stats}", target.name);
        // Otherwise the mutants would be noise.
        assert!(stats.seeds_decoded > 0, "{}: no seed decodes", target.name);
        assert!(stats.outcomes > 1, "{}: the check says the same of everything", target.name);
    }
}

/// A target that was renamed would leave its corpus behind.
fn every_corpus_has_one(targets: &[Target]) {
    let names: BTreeSet<_> = targets.iter().map(|target| target.name).collect();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("the corpus can be listed") {
        let name = entry.expect("the corpus can be listed").file_name();
        assert!(names.contains(&*name.to_string_lossy()), "corpus/{} has no target", name.display());
    }
}
