//! Medians beside a floor of the same run.
//!
//! Machines are shared: every case is sampled once a round, in an order that rotates, so that a
//! disturbance hits all of them alike, and what counts is the ratio to the floor of the same round.

#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on has failed")]
pub mod certify;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]
pub mod load;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]
pub mod open;
pub mod tools;

use std::hint::black_box;
use std::time::Instant;

/// One thing that is timed.
struct Case<'a> {
    name: &'a str,
    /// Operations in one call of `run`.
    operations: u32,
    run: Box<dyn FnMut() + 'a>,
    /// Nanoseconds an operation, one sample a round.
    samples: Vec<f64>,
}

/// Cases that are compared with the first of them, the floor.
#[derive(Default)]
pub struct Suite<'a> {
    title: &'a str,
    cases: Vec<Case<'a>>,
}

impl std::fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Suite({}, {} cases)", self.title, self.cases.len())
    }
}

impl<'a> Suite<'a> {
    /// A suite without cases.
    #[must_use]
    pub fn new(title: &'a str) -> Self {
        Self { title, cases: Vec::new() }
    }

    /// Adds a case whose call does `operations` operations. The first one is the floor.
    #[must_use]
    pub fn case<T>(mut self, name: &'a str, operations: u32, mut run: impl FnMut() -> T + 'a) -> Self {
        let run = Box::new(move || {
            black_box(run());
        });
        self.cases.push(Case { name, operations, run, samples: Vec::new() });
        self
    }

    /// Times every case, and prints the table.
    pub fn run(mut self) {
        let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
        let (rounds, sample_seconds) = if quick { (7, 0.02) } else { (25, 0.05) };
        let calls: Vec<u32> = self.cases.iter_mut().map(|case| calibrate(case, sample_seconds)).collect();
        for round in 0..rounds {
            for offset in 0..self.cases.len() {
                let at = (round + offset) % self.cases.len();
                if let (Some(case), Some(calls)) = (self.cases.get_mut(at), calls.get(at)) {
                    let sample = sample(case, *calls);
                    case.samples.push(sample);
                }
            }
        }
        self.print(rounds);
    }

    fn print(&self, rounds: usize) {
        println!("\n{} ({rounds} rounds)", self.title);
        println!("{:<64} {:>12} {:>12} {:>8}", "case", "median", "best", "ratio");
        let Some(floor) = self.cases.first() else { return };
        for case in &self.cases {
            let ratios = case.samples.iter().zip(&floor.samples).map(|(own, floor)| own / floor).collect();
            let best = case.samples.iter().copied().fold(f64::INFINITY, f64::min);
            let median = median(case.samples.clone());
            println!(
                "{:<64} {:>12} {:>12} {:>8.3}",
                case.name,
                shown(median),
                shown(best),
                self::median(ratios)
            );
        }
    }
}

fn calibrate(case: &mut Case<'_>, seconds: f64) -> u32 {
    let mut calls = 1;
    loop {
        let started = Instant::now();
        (0..calls).for_each(|_| (case.run)());
        let took = started.elapsed().as_secs_f64();
        if took >= seconds || calls >= 1 << 24 {
            return calls;
        }
        calls *= 2;
    }
}

fn sample(case: &mut Case<'_>, calls: u32) -> f64 {
    let started = Instant::now();
    (0..calls).for_each(|_| (case.run)());
    started.elapsed().as_secs_f64() * 1e9 / f64::from(calls) / f64::from(case.operations)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn shown(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.2} us", n / 1e3),
        n => format!("{:.2} ms", n / 1e6),
    }
}
