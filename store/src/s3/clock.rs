//! The server's clock, from the `Date` header of an answer.

use super::server::Server;
use crate::StoreError;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Stores the `Date` of the last answer.
#[derive(Clone, Debug, Default)]
struct KeepDate(Arc<Mutex<Option<SystemTime>>>);

impl Intercept for KeepDate {
    fn name(&self) -> &'static str {
        "KeepDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(parse);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

fn parse(date: &str) -> Option<SystemTime> {
    DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?.try_into().ok()
}

/// Sends the smallest request possible and returns the date of the answer.
pub(super) fn now(server: &Server) -> Result<Option<SystemTime>, StoreError> {
    let date = KeepDate::default();
    let answer = server.call(async |_| {
        let request = server.client.list_objects_v2().bucket(&server.location.bucket).prefix(&server.location.prefix);
        Ok(request.max_keys(1).customize().interceptor(date.clone()).send().await?)
    });
    answer.map_err(|fault| server.error("", "list", fault))?;
    let date = *date.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_date_is_read_and_anything_else_is_none() {
        assert_eq!(parse("Thu, 01 Jan 1970 00:01:00 GMT"), Some(UNIX_EPOCH + Duration::from_secs(60)));
        assert_eq!(parse("yesterday"), None);
    }
}
