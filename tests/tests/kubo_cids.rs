//! Files and folders get the CIDs that Kubo gives them, whatever they are and however they are cut.

#[path = "kubo_cids/case.rs"]
mod case;
#[path = "kubo_cids/flags.rs"]
mod flags;

use std::env;

use cidra_tests::{Kubo, Repository, Suite};

use case::Case;
use flags::Profile;

/// Case N is made of the seed N and nothing else: `CIDRA_SEED=N` runs that one alone.
#[test]
fn any_tree_gets_the_cid_that_kubo_gives_it() {
    let Some(default) = Kubo::start(None) else { return };
    let Some(modern) = Kubo::start(Some("unixfs-v1-2025")) else { return };
    let compared = Compared { default, modern, ours: Repository::new() };
    let count = Suite::chosen().of(15, 150, 1000);
    let seeds = match env::var("CIDRA_SEED") {
        Ok(seed) => vec![seed.parse::<u64>().expect("CIDRA_SEED is a number")],
        Err(_) => (0..count).collect(),
    };

    let mut refused = 0;
    for seed in &seeds {
        match compared.check(&Case::new(*seed)) {
            Verdict::Same => {}
            Verdict::BothRefuse => refused += 1,
            Verdict::Differs(how) => compared.fail(*seed, &how),
        }
    }

    println!("{} inputs have the same CID in both, {refused} are refused by both", seeds.len() - refused);
    assert!(refused * 10 <= seeds.len(), "what both refuse compares nothing");
    compared.default.stop();
    compared.modern.stop();
}

/// Two of theirs, because what is called a profile here is configuration there.
struct Compared {
    default: Kubo,
    modern: Kubo,
    ours: Repository,
}

enum Verdict {
    Same,
    BothRefuse,
    Differs(String),
}

impl Compared {
    fn check(&self, case: &Case) -> Verdict {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(case.name());
        case.write(&path);
        let kubo = match case.flags.profile {
            Profile::V0 => &self.default,
            Profile::V1 => &self.modern,
        };
        let theirs = kubo.ipfs(["add", "-Q", "-r"]).args(case.flags.theirs()).arg("--").arg(&path).run();
        let ours = self.ours.cidra(["add", "-Q", "-n"]).args(case.flags.ours()).arg("--").arg(&path).run();
        match (theirs.code, ours.code) {
            (Some(0), Some(0)) if theirs.text() == ours.text() => Verdict::Same,
            (Some(0), Some(0)) => Verdict::Differs(format!("theirs {}, ours {}", theirs.text(), ours.text())),
            (Some(0), _) => Verdict::Differs(format!("ours fails: {}", ours.stderr)),
            (_, Some(0)) => Verdict::Differs(format!("theirs fails: {}", theirs.stderr)),
            _ => Verdict::BothRefuse,
        }
    }

    /// Names the smallest case like this one that differs.
    fn fail(&self, seed: u64, how: &str) -> ! {
        eprintln!("CIDRA_SEED={seed}: {how}\nlooking for a smaller one");
        let mut case = Case::new(seed);
        let mut attempts = 0;
        'shrink: loop {
            for smaller in case.smaller() {
                attempts += 1;
                if attempts > ATTEMPTS {
                    break 'shrink;
                }
                if matches!(self.check(&smaller), Verdict::Differs(other) if is_alike(&other, how)) {
                    case = smaller;
                    continue 'shrink;
                }
            }
            break;
        }
        let Verdict::Differs(how) = self.check(&case) else { panic!("CIDRA_SEED={seed} differs, but not always") };
        panic!("CIDRA_SEED={seed}: {how}\nsmallest such case:\n{case:#?}");
    }
}

/// Whether both are different CIDs, or failures of the same side.
fn is_alike(left: &str, right: &str) -> bool {
    let kind = |how: &str| how.split_once("fails").map(|(who, _)| who.to_owned());
    kind(left) == kind(right)
}

/// Runs of both programs that a failure may cost.
const ATTEMPTS: usize = 200;
