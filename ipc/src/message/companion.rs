//! The messages between the engine and the process that talks to a source's storage: a question and its answer, one
//! JSON line each, over the process's standard input and output. The process ends when its input closes.

use septet_format::{BackupId, Tracking, VolumeName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A question about the source that the process was started for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Describe the snapshot that was named.
    Identify,
    /// Remove the snapshots that were made for backups of a volume.
    Tidy {
        /// The repository's id.
        repository: Uuid,
        /// The volume's name in the repository.
        volume: VolumeName,
        /// The backups whose snapshots stay.
        keep: Vec<BackupId>,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The description of the snapshot.
    Tracking(Box<Tracking>),
    /// The request succeeded. Holds notes for the user.
    Notes(Vec<String>),
    /// The request failed. Holds the reason.
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
