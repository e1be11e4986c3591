//! A long test of random operations and faults: no data are lost.
//!
//! `SEPTET_SOAK_OPERATIONS=1000 SEPTET_SOAK_SEED=7 cargo nextest run --workspace -E 'binary(soak)' --no-capture`

use septet_tests::s3::Seaweed;
use septet_tests::soak;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => default,
    }
}

#[test]
fn nothing_is_lost_in_a_long_night() {
    let seaweed = Seaweed::shared();
    let (seed, operations) = (number("SEPTET_SOAK_SEED", 1), number("SEPTET_SOAK_OPERATIONS", 200));
    let tally = soak::run(seed, operations, &seaweed);
    println!("{tally}");
    assert!(tally.operations == operations && (operations < 100 || tally.faults > 0), "{tally}");
}
