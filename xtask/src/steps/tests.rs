use super::*;
use std::fs;

#[test]
fn result_lines_are_read() {
    let cases = [
        (
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.01s",
            Some((3, 0)),
        ),
        ("test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", Some((12, 2))),
        ("test steps::tests::result_lines_are_read ... ok", None),
        ("test result: ok. many passed; 0 failed", None),
        ("running 3 tests", None),
    ];
    for (line, expect) in cases {
        assert_eq!(parse_result(line), expect.map(|(passed, failed)| Tally { passed, failed }), "{line}");
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn results_are_summed_and_a_silent_death_counts() {
    let ok = "test result: ok. 2 passed; 0 failed; 0 ignored";
    let bad = "test result: FAILED. 1 passed; 3 failed; 0 ignored";
    let cases = [
        (format!("echo '{ok}'; echo '{ok}'"), (4, 0)),
        (format!("echo '{ok}'; echo '{bad}'; exit 101"), (3, 3)),
        (format!("echo '{ok}'; exit 101"), (2, 1)),
        ("exit 101".to_owned(), (0, 1)),
    ];
    for (script, (passed, failed)) in cases {
        assert_eq!(tests(shell(&script)).unwrap(), Tally { passed, failed }, "{script}");
    }
}

#[test]
fn a_check_follows_the_exit_status() {
    assert_eq!(check(shell("true")).unwrap(), Tally::PASS);
    assert_eq!(check(shell("false")).unwrap(), Tally::FAIL);
    assert!(check(Command::new("./no-such-program")).is_err());
}

#[test]
fn a_step_that_cannot_run_is_a_failure() {
    let step = Step { name: "broken", run: |_| eyre::bail!("no") };
    assert_eq!(timed(Path::new("."), &step), Tally::FAIL);
}

/// The script that continuous integration starts is this program and nothing else.
#[test]
fn ci_runs_the_same() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/run");
    let text = fs::read_to_string(script).unwrap();
    assert!(text.lines().any(|line| line == "exec cargo xtask test"), "{text}");
}
