//! Questions about an image, answered over one connection: what a snapshot is, and the removal of old ones.

use std::io::{self, BufRead, Write};

use septet_ipc::message::{Answer, Question};
use septet_volume::RbdUrl;

use crate::connect::connect;
use crate::{snapshots, source};

/// Connects at once, so that whoever asks later does not wait for that, and answers until there are no more
/// questions. Between two of them nothing is open.
///
/// # Errors
/// When nobody can be answered.
pub fn attend(url: &RbdUrl, questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    let connected = connect(url);
    for line in questions.lines() {
        let answer = match (&connected, serde_json::from_str(&line?)) {
            (_, Err(error)) => Answer::Failed(format!("the question is invalid: {error}")),
            (Err(failure), _) => Answer::Failed(failure.to_string()),
            (Ok(pool), Ok(Question::Identify)) => match source::identify(pool, url) {
                Ok(tracking) => Answer::Tracking(Box::new(tracking)),
                Err(failure) => Answer::Failed(failure.to_string()),
            },
            (Ok(pool), Ok(Question::Tidy { repository, volume, keep })) => {
                match snapshots::tidy(pool, url, &repository.to_string(), &volume, &keep) {
                    Ok(notes) => Answer::Notes(notes),
                    Err(failure) => Answer::Failed(failure.to_string()),
                }
            }
        };
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}
