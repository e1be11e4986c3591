//! Helpers for tests of faults: a volume with a history, ways to run `septet` with restrictions, and assertions that
//! must hold after every fault.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::content::noise;
use crate::{Outcome, Repo, Scratch, binary, is_alive, require_root};

/// A repository with a backup `earlier` of the volume `vol`, and a source whose whole content has changed since.
#[derive(Debug)]
pub struct Site {
    /// The directory of everything.
    pub scratch: Scratch,
    /// The repository.
    pub repo: Repo,
    /// The file with the current volume.
    pub source: PathBuf,
    /// The current content of the volume.
    pub content: Vec<u8>,
    /// The content of the earlier backup.
    pub earlier: Vec<u8>,
    objects: Vec<String>,
}

impl Site {
    /// Makes a site whose volume has `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let scratch = Scratch::in_memory();
        let repo = scratch.repo();
        let earlier = noise(1, bytes);
        let source = scratch.file("source", &earlier);
        repo.backup_as("earlier", &source, &[]);
        let content = noise(2, bytes);
        fs::write(&source, &content).expect("changing the volume");
        let objects = repo.objects();
        Self { scratch, repo, source, content, earlier, objects }
    }

    /// The arguments of a backup of the volume, with more `args`.
    pub fn backup(&self, args: &[&str]) -> Vec<String> {
        let source = self.source.to_str().expect("a path in UTF-8");
        let words = ["backup", source, "--volume", "vol", "--json"];
        words.iter().chain(args).map(|&word| word.to_owned()).collect()
    }

    /// Asserts that the repository holds the complete earlier backup and nothing else.
    pub fn assert_as_before(&self) {
        self.assert_same_objects();
        self.assert_earlier_restores();
    }

    fn assert_same_objects(&self) {
        assert_eq!(self.repo.objects(), self.objects, "objects that were not there before, or are gone");
        assert_eq!(self.repo.empty_directories(), [""; 0]);
    }

    /// Asserts that the earlier backup restores bit for bit.
    pub fn assert_earlier_restores(&self) {
        self.repo.assert_restores("vol/earlier", &self.earlier);
    }

    /// Removes empty directories. They are not objects, so a user would never notice them.
    pub fn remove_empty_directories(&self) {
        while let [first, ..] = &self.repo.empty_directories()[..] {
            fs::remove_dir(self.repo.path().join(first)).expect("removing an empty directory");
        }
    }

    /// The ids of the volume's backups besides the earlier one, oldest first.
    pub fn later(&self) -> Vec<String> {
        let listed = self.repo.septet(["list", "vol", "--json"]).ok();
        let ids = listed.events().into_iter().map(|event| event["backup"].as_str().expect("an id").to_owned());
        ids.filter(|id| id != "earlier").collect()
    }

    /// Asserts that every later backup restores to the current content of the volume, and deletes these backups. Then
    /// asserts that the objects are the same as before. The end of the test checks that these are intact.
    pub fn settle(&self) {
        // A run that failed late leaves the data with which the same command would resume.
        if self.repo.objects().iter().any(|object| object.ends_with("/pending-0.json")) {
            self.repo.septet(["clean"]).ok();
        }
        let later = self.later();
        for id in &later {
            self.repo.assert_restores(&format!("vol/{id}"), &self.content);
        }
        if !later.is_empty() {
            self.repo.delete(&later.iter().map(String::as_str).collect::<Vec<_>>());
        }
        self.assert_same_objects();
    }
}

/// The one line that says why a run failed, without `septet: error: `. Asserts that all other lines are notes and that
/// the line has no error number.
pub fn reason(outcome: &Outcome) -> &str {
    let (errors, others): (Vec<_>, Vec<_>) =
        outcome.stderr.lines().partition(|line| line.starts_with("septet: error: "));
    assert_eq!(errors.len(), 1, "{}: one line of error expected:\n{}", outcome.line, outcome.stderr);
    assert!(others.iter().all(|line| line.starts_with("septet: note: ")), "{}:\n{}", outcome.line, outcome.stderr);
    assert!(!errors[0].contains("os error"), "{}: an error number says nothing: {}", outcome.line, errors[0]);
    errors[0].trim_start_matches("septet: error: ")
}

/// The run's notes, on standard error or as events.
pub fn notes(outcome: &Outcome) -> String {
    let events = outcome.stdout.lines().filter(|line| line.contains(r#""event":"note""#));
    let lines = outcome.stderr.lines().filter(|line| line.starts_with("septet: note: "));
    lines.chain(events).collect::<Vec<_>>().join("\n")
}

/// Asserts that the run failed with `status` for one clear reason that contains `text`.
#[track_caller]
pub fn assert_fails(outcome: &Outcome, status: i32, text: &str) {
    assert_eq!(outcome.status, Some(status), "{}:\n{}{}", outcome.line, outcome.stdout, outcome.stderr);
    let reason = reason(outcome);
    assert!(reason.contains(text), "{}: {text:?} expected in {reason:?}", outcome.line);
}

/// Runs `septet` through a shell script that ends in `exec "$@"`, in a mount namespace of its own.
pub fn in_namespace(script: &str, args: &[String]) -> Outcome {
    under(&["unshare", "--mount", "sh", "-ec", script, "sh"], args)
}

/// Runs `septet` as root without capabilities, so that permission bits restrict it as they do any user.
pub fn without_privileges(args: &[String]) -> Outcome {
    under(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"], args)
}

fn under(wrapper: &[&str], args: &[String]) -> Outcome {
    require_root();
    let mut command = Command::new("timeout");
    command.args(["120"]).args(wrapper).arg(binary()).args(args).env_remove("SEPTET_REPO");
    let output = command.output().unwrap_or_else(|error| panic!("{wrapper:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        line: format!("{wrapper:?} septet {}", args.join(" ")),
        status: output.status.code(),
        signal: None,
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Asserts that no shared memory of an ended process is left.
pub fn assert_no_shared_memory() {
    for entry in fs::read_dir("/dev/shm").expect("/dev/shm").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("septet_").and_then(|name| name.rsplit_once('_')?.1.parse().ok());
        assert!(owner.is_none_or(is_alive), "{name} is left in /dev/shm");
    }
}
