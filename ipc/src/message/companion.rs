//! What the engine and the process that speaks to a source's storage say to each other: one JSON line each, a question
//! and its answer, over the process's standard input and output. It ends when its input does.

use septet_format::{BackupId, Tracking, VolumeName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is asked of the source that the process was started for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// What the snapshot that was named is.
    Identify,
    /// Removes the snapshots that were made for backups of a volume.
    Tidy {
        /// The repository's id.
        repository: Uuid,
        /// The volume's name in the repository.
        volume: VolumeName,
        /// Backups whose snapshots stay.
        keep: Vec<BackupId>,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What the snapshot is.
    Tracking(Box<Tracking>),
    /// It is done; and what is to be said of it.
    Notes(Vec<String>),
    /// It can't be done, and why.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_an_answer_are_a_line_each() {
        let (repository, volume, keep) = (Uuid::nil(), "v".parse().unwrap(), vec!["b".parse().unwrap()]);
        for question in [Question::Identify, Question::Tidy { repository, volume, keep }] {
            let line = serde_json::to_string(&question).unwrap();
            assert_eq!(serde_json::from_str::<Question>(&line).unwrap(), question);
        }
        for answer in [Answer::Notes(vec!["a\nb".to_owned()]), Answer::Failed("no".to_owned())] {
            let line = serde_json::to_string(&answer).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
        }
    }
}
