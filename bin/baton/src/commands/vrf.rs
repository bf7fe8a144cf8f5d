use crate::{
    data,
    output::{Outcome, Output, grouped, refused},
};
use baton_node::keys;
use baton_types::{hex, receipt::Reason};
use baton_vrf::{
    Beacon, Commitment, Context, EpochProof, EpochSecrets, PROOF_BYTES_MAX, PublicKey, Reveal, Rounds,
    SecretKey, Security, SingleProof,
};
use clap::Subcommand;
use eyre::{WrapErr as _, eyre};
use serde::Serialize;
use std::{
    fs,
    io::{Read as _, Write as _},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Make, check and measure proofs of the random function that draws proposers. Needs no network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  baton vrf keygen vrf.key
  baton vrf prove vrf.key --chain 0x5f0c… --epoch 7 --beacon rain --out epoch.proof --reveal 0
  baton vrf verify epoch.proof --public-key 0x0129… --chain 0x5f0c… --epoch 7 --beacon rain
  baton vrf bench";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a new secret key, and print the public key to register.
    #[command(after_help = "Examples:\n  baton vrf keygen\n  baton vrf keygen keys/vrf.key --json")]
    Keygen {
        /// The file to write, for its owner's eyes only; never replaced.
        #[arg(default_value = "vrf.key")]
        file: PathBuf,
    },
    Prove(ProveArgs),
    Verify(VerifyArgs),
    Bench(BenchArgs),
}

/// Prove that all leaves of an epoch come from one key.
#[derive(Debug, clap::Args)]
#[command(after_help = PROVE_EXAMPLES)]
struct ProveArgs {
    /// The secret key, as `baton vrf keygen` writes it.
    key: PathBuf,
    #[command(flatten)]
    statement: StatementArgs,
    /// The file for the proof; never replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the reveal of this turn, from 0. Repeatable.
    #[arg(long, value_name = "TURN")]
    reveal: Vec<u32>,
}

const PROVE_EXAMPLES: &str = "\
Examples:
  baton vrf prove vrf.key --chain 0x5f0c… --epoch 7 --beacon rain --out epoch.proof
  baton vrf prove vrf.key --chain 0x5f0c… --epoch 7 --beacon @seed --rounds 1023 --out epoch.proof --reveal 0 --json";

/// Check an epoch's proof, and a reveal against it.
#[derive(Debug, clap::Args)]
#[command(after_help = VERIFY_EXAMPLES)]
struct VerifyArgs {
    /// The proof.
    file: PathBuf,
    /// Key that the proof is about, from a source you trust.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    public_key: PublicKey,
    #[command(flatten)]
    statement: StatementArgs,
    /// A reveal, as `baton vrf prove --reveal` prints it.
    #[arg(long, value_name = "HEX", requires = "later_beacon")]
    reveal: Option<String>,
    /// What appeared on the chain after the commitment: 0x… is hex, @FILE a file, anything else text.
    #[arg(long, value_name = "DATA", requires = "reveal")]
    later_beacon: Option<String>,
    /// Draw one of N members from the reveal's output.
    #[arg(long, value_name = "N", requires = "reveal")]
    members: Option<NonZeroU32>,
    /// Members that are not drawn, by index. Repeatable.
    #[arg(long, value_name = "INDEX", requires = "members")]
    benched: Vec<u32>,
}

const VERIFY_EXAMPLES: &str = "\
Exit code 1, with the reason, when the proof or the reveal does not hold.

Examples:
  baton vrf verify epoch.proof --public-key 0x0129… --chain 0x5f0c… --epoch 7 --beacon rain
  baton vrf verify epoch.proof --public-key 0x0129… --chain 0x5f0c… --epoch 7 --beacon rain \\
      --reveal 0x00000000… --later-beacon sun --members 4";

#[derive(Debug, clap::Args)]
struct StatementArgs {
    /// Digest of the genesis.
    #[arg(long, value_name = "DIGEST", value_parser = hex::decode_array::<32>)]
    chain: [u8; 32],
    /// Epoch of the chain.
    #[arg(long)]
    epoch: u64,
    /// What appeared on the chain after the key was registered: 0x… is hex, @FILE a file, anything else text.
    #[arg(long, value_name = "DATA")]
    beacon: String,
    /// Turns that the proof covers: 63, 127, 255, 511, 1023 or 2047.
    #[arg(long, value_name = "K", default_value = "255", value_parser = rounds)]
    rounds: Rounds,
}

/// Time proofs of several lengths on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  baton vrf bench\n  baton vrf bench --rounds 2047 --runs 3 --json")]
struct BenchArgs {
    /// Turns that a proof covers.
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_values = ["63", "255", "1023"], value_parser = rounds)]
    rounds: Vec<Rounds>,
    /// Runs of each kind; the median is printed.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    runs: u16,
}

fn rounds(text: &str) -> Result<Rounds, String> {
    let count = text.parse::<u32>().map_err(|error| error.to_string())?;
    Rounds::new(count).map_err(|error| error.to_string())
}

fn public_key(text: &str) -> Result<PublicKey, String> {
    let bytes = hex::decode_array::<32>(text)?;
    PublicKey::from_bytes(&bytes).map_err(|error| error.to_string())
}

impl StatementArgs {
    fn context(&self) -> eyre::Result<Context> {
        let beacon = Beacon::of(&data::read(&self.beacon).wrap_err("--beacon")?);
        Ok(Context { chain: self.chain, epoch: self.epoch, beacon })
    }
}

pub fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    match args.command {
        Command::Keygen { file } => keygen(&file, output),
        Command::Prove(args) => prove(&args, output),
        Command::Verify(args) => verify(&args, output),
        Command::Bench(args) => bench(&args, output),
    }
}

fn keygen(file: &Path, output: Output) -> eyre::Result<Outcome> {
    #[derive(Serialize)]
    struct Written<'a> {
        file: &'a Path,
        public_key: String,
    }
    let secret = SecretKey::random(&mut rand::rng());
    keys::write_private(file, &format!("{}\n", hex::encode(&*secret.to_bytes())))
        .wrap_err("move an existing key away first")?;
    let public_key = hex::encode(&secret.public_key().to_bytes());
    output.line(format!("wrote {}", file.display()));
    output.line(format!("  public key  {public_key}"));
    output.object(&Written { file, public_key });
    Ok(Outcome::Done)
}

fn read_key(file: &Path) -> eyre::Result<SecretKey> {
    let text = keys::read_private(file)?;
    // The decoder's own error would quote the file.
    hex::decode_array::<32>(text.trim())
        .ok()
        .and_then(|bytes| SecretKey::from_bytes(&bytes).ok())
        .ok_or_else(|| eyre!("{}: expected a key that `baton vrf keygen` wrote", file.display()))
}

#[derive(Serialize)]
struct Proven<'a> {
    file: &'a Path,
    public_key: String,
    rounds: u32,
    bytes: usize,
    root: String,
    proof_hash: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reveals: Vec<String>,
}

impl<'a> Proven<'a> {
    fn new(file: &'a Path, key: &PublicKey, proof: &EpochProof, commitment: &Commitment) -> Self {
        Self {
            file,
            public_key: hex::encode(&key.to_bytes()),
            rounds: proof.rounds().count(),
            bytes: proof.to_bytes().len(),
            root: hex::encode(&commitment.root),
            proof_hash: hex::encode(&commitment.proof_hash),
            reveals: Vec::new(),
        }
    }

    fn print(&self, output: Output) {
        output.line(format!("  public key  {}", self.public_key));
        output.line(format!("  turns       {}", self.rounds));
        output.line(format!("  root        {}", self.root));
        output.line(format!("  proof hash  {}", self.proof_hash));
        for reveal in &self.reveals {
            output.line(format!("  reveal      {reveal}"));
        }
    }
}

fn prove(args: &ProveArgs, output: Output) -> eyre::Result<Outcome> {
    let secret = read_key(&args.key)?;
    let (context, rounds) = (args.statement.context()?, args.statement.rounds);
    let secrets = EpochSecrets::new(&secret, context, rounds);
    let reveal = |turn: &u32| {
        let reveal = secrets.reveal(*turn).ok_or_else(|| {
            eyre!("--reveal {turn}: the turns of this proof are 0 to {}", rounds.count() - 1)
        })?;
        Ok(hex::encode(&reveal.to_bytes()))
    };
    let reveals = args.reveal.iter().map(reveal).collect::<eyre::Result<Vec<_>>>()?;
    let proof = secrets.prove(&mut rand::rng())?;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).open(&args.out).wrap_err_with(|| {
            format!("cannot create {}; move an existing one away first", args.out.display())
        })?;
    file.write_all(&proof.to_bytes()).wrap_err_with(|| format!("cannot write {}", args.out.display()))?;
    let commitment = Commitment { root: secrets.root(), proof_hash: proof.hash() };
    let proven = Proven { reveals, ..Proven::new(&args.out, &secret.public_key(), &proof, &commitment) };
    output.line(format!("wrote {}, {} bytes", args.out.display(), grouped(proven.bytes.try_into()?)));
    proven.print(output);
    output.object(&proven);
    Ok(Outcome::Done)
}

fn read_proof(path: &Path) -> eyre::Result<EpochProof> {
    let name = path.display();
    let file = fs::File::open(path).wrap_err_with(|| format!("cannot open {name}"))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(PROOF_BYTES_MAX)?.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).wrap_err_with(|| format!("cannot read {name}"))?;
    EpochProof::from_bytes(&bytes).map_err(|error| does_not_hold(&format!("{name} is no proof"), &error))
}

fn does_not_hold(what: &str, reason: &dyn std::error::Error) -> eyre::Report {
    refused(Reason::BadRequest, format!("{what}: {reason}"))
}

#[derive(Serialize)]
struct Checked<'a> {
    #[serde(flatten)]
    proven: Proven<'a>,
    #[serde(flatten)]
    turn: Option<Turn>,
}

#[derive(Serialize)]
struct Turn {
    turn: u32,
    output: String,
    /// Missing without --members; null when all are benched.
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn: Option<Option<u32>>,
}

fn verify(args: &VerifyArgs, output: Output) -> eyre::Result<Outcome> {
    let context = args.statement.context()?;
    let proof = read_proof(&args.file)?;
    let commitment = proof
        .verify(&args.public_key, &context, args.statement.rounds)
        .map_err(|reason| does_not_hold("the proof does not hold", &reason))?;
    let turn = match (&args.reveal, &args.later_beacon) {
        (Some(reveal), Some(later)) => Some(check_reveal(args, &context, &commitment, reveal, later)?),
        _ => None,
    };
    let proven = Proven::new(&args.file, &args.public_key, &proof, &commitment);
    output.line("proven: every leaf comes from the key".to_owned());
    proven.print(output);
    if let Some(turn) = &turn {
        output.line(format!("revealed: turn {}", turn.turn));
        output.line(format!("  output      {}", turn.output));
        match turn.drawn {
            Some(Some(member)) => output.line(format!("  drawn       member {member}")),
            Some(None) => output.line("  drawn       nobody: all are benched".to_owned()),
            None => {}
        }
    }
    output.object(&Checked { proven, turn });
    Ok(Outcome::Done)
}

fn check_reveal(
    args: &VerifyArgs,
    context: &Context,
    commitment: &Commitment,
    reveal: &str,
    later: &str,
) -> eyre::Result<Turn> {
    let later = Beacon::of(&data::read(later).wrap_err("--later-beacon")?);
    let bytes = hex::decode(reveal).map_err(|error| eyre!("--reveal: {error}"))?;
    let reveal =
        Reveal::from_bytes(&bytes).map_err(|error| does_not_hold("--reveal is no reveal", &error))?;
    let output = reveal
        .verify(&commitment.root, &args.public_key, context, &later)
        .map_err(|reason| does_not_hold("the reveal does not hold", &reason))?;
    let drawn = args.members.map(|members| output.draw(members, |member| args.benched.contains(&member)));
    Ok(Turn { turn: reveal.turn, output: hex::encode(&output.0), drawn })
}

#[derive(Serialize)]
struct Measured {
    /// 0: one view by itself.
    rounds: u32,
    prove_ms: f64,
    verify_ms: f64,
    /// A reveal against the root; none for a single view.
    #[serde(skip_serializing_if = "Option::is_none")]
    reveal_us: Option<f64>,
    bytes: usize,
    proven_bits: usize,
    conjectured_bits: usize,
}

/// The median time of `runs`, and what the last of them gave.
fn median<T>(runs: u16, mut work: impl FnMut() -> eyre::Result<T>) -> eyre::Result<(Duration, T)> {
    let mut timed = || {
        let start = Instant::now();
        let result = work()?;
        Ok::<_, eyre::Report>((start.elapsed(), result))
    };
    let (time, mut last) = timed()?;
    let mut times = vec![time];
    for _ in 1..runs {
        let (time, result) = timed()?;
        times.push(time);
        last = result;
    }
    times.sort();
    Ok((times[times.len() / 2], last))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Reveals checked in one run: one alone is too short for the clock.
const REVEALS: u32 = 1_000;

fn bench(args: &BenchArgs, output: Output) -> eyre::Result<Outcome> {
    let secret = SecretKey::random(&mut rand::rng());
    let context = Context { chain: [0; 32], epoch: 0, beacon: Beacon::of(b"bench") };
    output
        .line("  turns      prove     verify     reveal      bytes  bytes/turn   bits proven / conjectured");
    for rounds in &args.rounds {
        report(&bench_epoch(&secret, context, *rounds, args.runs)?, output);
    }
    report(&bench_single(&secret, context, args.runs)?, output);
    Ok(Outcome::Done)
}

fn bench_epoch(secret: &SecretKey, context: Context, rounds: Rounds, runs: u16) -> eyre::Result<Measured> {
    let key = secret.public_key();
    let secrets = EpochSecrets::new(secret, context, rounds);
    let (prove, proof) = median(runs, || Ok(secrets.prove(&mut rand::rng())?))?;
    let (verify, _) = median(runs, || Ok(proof.verify(&key, &context, rounds)?))?;
    let root = secrets.root();
    let reveal = secrets.reveal(rounds.count() / 2).ok_or_else(|| eyre!("a turn within the rounds"))?;
    let (reveals, ()) = median(runs, || {
        for _ in 0..REVEALS {
            std::hint::black_box(reveal.verify(&root, &key, &context, &context.beacon)?);
        }
        Ok(())
    })?;
    let Security { proven_bits, conjectured_bits } = Security::of_epoch_proof(rounds);
    Ok(Measured {
        rounds: rounds.count(),
        prove_ms: ms(prove),
        verify_ms: ms(verify),
        reveal_us: Some(ms(reveals) * 1e3 / f64::from(REVEALS)),
        bytes: proof.to_bytes().len(),
        proven_bits,
        conjectured_bits,
    })
}

fn bench_single(secret: &SecretKey, context: Context, runs: u16) -> eyre::Result<Measured> {
    let key = secret.public_key();
    let (prove, proof) = median(runs, || Ok(SingleProof::new(secret, &context, 1, &mut rand::rng())?))?;
    let (verify, _) = median(runs, || Ok(proof.verify(&key, &context, 1, &context.beacon)?))?;
    let Security { proven_bits, conjectured_bits } = Security::of_single_proof();
    Ok(Measured {
        rounds: 0,
        prove_ms: ms(prove),
        verify_ms: ms(verify),
        reveal_us: None,
        bytes: proof.to_bytes().len(),
        proven_bits,
        conjectured_bits,
    })
}

fn report(measured: &Measured, output: Output) {
    let turns = if measured.rounds == 0 { "one view".to_owned() } else { measured.rounds.to_string() };
    let reveal = measured.reveal_us.map_or_else(|| "–".to_owned(), |us| format!("{us:.1} µs"));
    let share = usize::try_from(measured.rounds.max(1)).map_or(0, |turns| measured.bytes.div_ceil(turns));
    output.line(format!(
        "{turns:>8} {:>7.1} ms {:>7.2} ms {reveal:>10} {:>10} {share:>11}   {} / {}",
        measured.prove_ms,
        measured.verify_ms,
        measured.bytes,
        measured.proven_bits,
        measured.conjectured_bits
    ));
    output.object(measured);
}
