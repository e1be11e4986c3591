//! Checks that an XML response is complete. The SDK stops at the first XML error and uses what it has read until then.
//! So it would return a truncated listing as a shorter listing.

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use xmlparser::{ElementEnd, Token, Tokenizer};

/// Makes a request fail, and be retried, if the response is not one complete XML document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        if !response.status().is_success() {
            return Ok(());
        }
        let body = response.body().bytes().ok_or("its body is not in memory")?;
        check_whole(body).map_err(|why| format!("it is not a whole XML document: {why}").into())
    }
}

/// Checks that the bytes are one XML element, and that each element in it has its end tag.
fn check_whole(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8")?;
    let mut open = Vec::new();
    let mut is_begun = false;
    for token in Tokenizer::from(text) {
        match token.map_err(|error| error.to_string())? {
            Token::ElementStart { prefix, local, .. } => {
                is_begun = true;
                open.push((prefix.as_str(), local.as_str()));
            }
            Token::ElementEnd { end: ElementEnd::Close(prefix, local), .. }
                if open.pop() != Some((prefix.as_str(), local.as_str())) =>
            {
                return Err(format!("</{local}> ends what has not begun"));
            }
            Token::ElementEnd { end: ElementEnd::Empty, .. } => drop(open.pop()),
            _ => {}
        }
    }
    match open.last() {
        Some((_, local)) => Err(format!("</{local}> is missing")),
        None if !is_begun => Err("it is empty".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "<?xml version=\"1.0\"?>\n<L xmlns=\"x\"><a:K>1 &amp; 2</a:K><K/><T>false</T></L>\n";

    #[test]
    fn a_document_is_whole_and_no_beginning_of_it_is() {
        assert_eq!(check_whole(LISTING.as_bytes()), Ok(()));
        let end = LISTING.trim_end().len();
        for cut in 0..end {
            assert!(check_whole(&LISTING.as_bytes()[..cut]).is_err(), "{:?} passes", &LISTING[..cut]);
        }
    }

    #[test]
    fn what_ends_in_another_order_is_not_whole() {
        for text in
            ["<a><b></a></b>", "<a></b>", "<a></a></a>", "<a></x:a>", "<a><b></a>", "</a>", "text", "<a>\u{0}</a>"]
        {
            assert!(check_whole(text.as_bytes()).is_err(), "{text} passes");
        }
        assert!(check_whole(b"<a>\xff</a>").is_err());
    }
}
