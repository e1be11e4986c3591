//! Answers questions about an image over one connection: identifies a snapshot, and removes old snapshots.

use std::io::{self, BufRead, Write};

use septet_ipc::message::{Answer, Question};
use septet_volume::RbdUrl;

use crate::connect::connect;
use crate::{snapshots, source};

/// Connects at once, so that later questions do not have to wait for the connection. Then answers questions until their
/// end. Between two questions no image is open.
///
/// # Errors
/// If questions can't be read or answers can't be written.
pub fn attend(url: &RbdUrl, questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    let connected = connect(url);
    for line in questions.lines() {
        let answer = match (&connected, serde_json::from_str(&line?)) {
            (_, Err(error)) => Answer::Failed(format!("the request is invalid: {error}")),
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
