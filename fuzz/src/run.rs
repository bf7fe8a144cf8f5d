//! One target, its seeds, and as many mutants as asked for.

use crate::mutate::mutate;
use peak_alloc::PeakAlloc;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeSet,
    fmt, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    panic,
    path::{Path, PathBuf},
    sync::{Mutex, Once, PoisonError},
    time::{Duration, Instant},
};

/// Knows what every decoder allocates.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Whatever its length, an input may usually take so much: errors, tables, a runtime.
pub const MEMORY_MIN: usize = 64 * 1024;
/// Inputs with a new outcome that are kept for further mutation.
const KEPT_MAX: usize = 512;

/// What a check says of an input.
pub enum Outcome {
    Decoded,
    /// Why not. Numbers and names in it do not make it a new outcome.
    Refused(String),
}

impl<E: fmt::Display> From<Result<(), E>> for Outcome {
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(|error| Self::Refused(error.to_string()), |()| Self::Decoded)
    }
}

/// Reads one input.
pub type Check = Box<dyn Fn(&[u8]) -> Outcome>;

/// A decoder of bytes from outside.
pub struct Target {
    pub name: &'static str,
    /// Inputs to start from; at least one decodes. Those in the corpus come on top.
    pub seeds: Vec<Vec<u8>>,
    /// Whether inputs are made of words.
    pub text: bool,
    /// Bytes of memory that any input may take, and
    pub memory_min: usize,
    /// each byte of it.
    pub memory_per_byte: usize,
    /// How many inputs take as long as one of a usual target.
    pub cost: u64,
    /// Panics when the decoder does what it must not.
    pub check: Check,
}

/// What a run saw.
#[derive(Debug, Default)]
pub struct Stats {
    pub inputs: u64,
    pub decoded: u64,
    pub seeds: usize,
    pub seeds_decoded: usize,
    pub outcomes: usize,
    /// The most memory that one input took, and its length.
    pub memory: (usize, usize),
    /// The longest that one input took, and its length.
    pub slowest: (Duration, usize),
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inputs, decoded, seeds, outcomes, memory, slowest, .. } = self;
        write!(f, "{inputs} inputs from {seeds} seeds, {decoded} decoded, {outcomes} outcomes; ")?;
        write!(f, "most memory {} kB for {} bytes, ", memory.0 / 1_024, memory.1)?;
        write!(f, "longest {} µs for {} bytes", slowest.0.as_micros(), slowest.1)
    }
}

/// The input that is being checked, for whoever survives its panic.
static CURRENT: Mutex<Option<(&'static str, Vec<u8>)>> = Mutex::new(None);
/// Memory is counted for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Keeps the input of a panic where the next run begins with it.
fn keep_failures() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some((target, input)) = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let mut hasher = DefaultHasher::new();
                input.hash(&mut hasher);
                let path = corpus(target).join(format!("{:016x}", hasher.finish()));
                let kept = fs::create_dir_all(corpus(target)).and_then(|()| fs::write(&path, &input));
                eprintln!(
                    "{target}: this input of {} bytes fails: {}",
                    input.len(),
                    String::from_utf8_lossy(&input).escape_debug()
                );
                match kept {
                    Ok(()) => eprintln!("it is kept as {}: commit it with the mend", path.display()),
                    Err(error) => eprintln!("it could not be kept as {}: {error}", path.display()),
                }
            }
            next(info);
        }));
    });
}

/// Checks the seeds, then `mutants` mutants of them. Panics at the first that fails.
pub fn run(target: &Target, mutants: u64, random_seed: u64) -> Stats {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    keep_failures();
    let mut pool = target.seeds.clone();
    pool.extend(committed(target.name));
    // What is made once and kept, such as tables, is not held against an input.
    for seed in &pool {
        (target.check)(seed);
    }
    let mut run =
        Run { target, stats: Stats { seeds: pool.len(), ..Stats::default() }, seen: BTreeSet::new() };
    for seed in &pool {
        run.input(seed);
    }
    run.stats.seeds_decoded = usize::try_from(run.stats.decoded).unwrap_or(usize::MAX);
    let mut rng = StdRng::seed_from_u64(random_seed);
    for _ in 0..mutants {
        // The seeds stay as likely as all that was kept.
        let among = if rng.random() { run.stats.seeds } else { pool.len() };
        let mut input = pool[rng.random_range(0..among)].clone();
        let other = &pool[rng.random_range(0..pool.len())];
        mutate(&mut rng, &mut input, other, target.text);
        if run.input(&input) && pool.len() < run.stats.seeds + KEPT_MAX {
            pool.push(input);
        }
    }
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    run.stats
}

/// Files of the corpus, in a fixed order.
fn committed(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(corpus(target)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the corpus can be listed").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("the corpus can be read")).collect()
}

struct Run<'a> {
    target: &'a Target,
    stats: Stats,
    seen: BTreeSet<String>,
}

impl Run<'_> {
    /// Checks one input; true when its outcome is new.
    fn input(&mut self, input: &[u8]) -> bool {
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.target.name, input.to_vec()));
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let started = Instant::now();
        let outcome = (self.target.check)(input);
        let took = started.elapsed();
        let memory = MEMORY.peak_usage().saturating_sub(before);
        let max = self.target.memory_min + self.target.memory_per_byte * input.len();
        assert!(memory <= max, "{memory} bytes of memory for {} of input; at most {max}", input.len());
        let stats = &mut self.stats;
        stats.inputs += 1;
        stats.memory = stats.memory.max((memory, input.len()));
        stats.slowest = stats.slowest.max((took, input.len()));
        let outcome = match outcome {
            Outcome::Decoded => {
                stats.decoded += 1;
                // Decoded inputs of other sizes have something in them that these have not.
                format!("decoded {}", input.len().checked_ilog2().unwrap_or(0))
            }
            Outcome::Refused(reason) => kind_of(&reason),
        };
        let new = self.seen.insert(outcome);
        stats.outcomes = self.seen.len();
        new
    }
}

/// The first words of an error, without what it quotes and names.
fn kind_of(reason: &str) -> String {
    let unquoted = reason.split(['"', '`', '\'']).step_by(2).collect::<String>();
    let words = unquoted.split_whitespace().map(|word| word.trim_end_matches([',', ':', ';']));
    words.filter(|word| word.chars().all(|c| c.is_ascii_alphabetic())).take(8).collect::<Vec<_>>().join(" ")
}
