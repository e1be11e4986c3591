//! Deletes objects, up to a thousand in each request.

use super::fault::{Fault, Retry};
use super::server::Server;
use super::whole::Whole;
use crate::{StoreError, StoreErrorKind};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use md5::{Digest, Md5};

/// The most that S3 accepts.
const KEYS_PER_REQUEST: usize = 1000;

/// Removes objects. An absent object is not an error.
pub(super) fn delete(server: &Server, keys: &[String]) -> Result<(), StoreError> {
    let names: Vec<String> = keys.iter().map(|key| server.name(key, "delete")).collect::<Result<_, _>>()?;
    for (keys, names) in keys.chunks(KEYS_PER_REQUEST).zip(names.chunks(KEYS_PER_REQUEST)) {
        match names {
            [name] => delete_one(server, name).map_err(|fault| server.error(&keys[0], "delete", fault))?,
            names => {
                delete_many(server, names).map_err(|(index, fault)| server.error(&keys[index], "delete", fault))?
            }
        }
    }
    Ok(())
}

pub(super) fn delete_one(server: &Server, name: &str) -> Result<(), Fault> {
    is_gone(server.call(async |_| send_delete(server, name).await))
}

/// The same without retries.
pub(super) fn delete_once(server: &Server, name: &str) -> Result<(), Fault> {
    is_gone(server.call_once(async |_| send_delete(server, name).await))
}

async fn send_delete(server: &Server, name: &str) -> Result<(), Fault> {
    let request = server.client.delete_object().bucket(&server.location.bucket).key(name);
    Ok(request.send().await.map(drop)?)
}

fn is_gone(deleted: Result<(), Fault>) -> Result<(), Fault> {
    deleted.or_else(|fault| if fault.kind == StoreErrorKind::NotFound { Ok(()) } else { Err(fault) })
}

/// Deletes a batch. An error contains the index of the first object that was not deleted.
fn delete_many(server: &Server, names: &[String]) -> Result<(), (usize, Fault)> {
    let unsent =
        |error| (0, Fault::new(StoreErrorKind::Other, Retry::Never, format!("the request cannot be made: {error}")));
    let objects: Result<Vec<_>, _> = names.iter().map(|name| ObjectIdentifier::builder().key(name).build()).collect();
    let batch = Delete::builder().set_objects(Some(objects.map_err(unsent)?)).quiet(true).build().map_err(unsent)?;
    let mut index = 0;
    let deleted = server.call(async |_| {
        let request = server.client.delete_objects().bucket(&server.location.bucket).delete(batch.clone());
        let answer = request.customize().mutate_request(add_md5).interceptor(Whole).send().await?;
        let stayed = answer.errors().iter().find(|error| error.code() != Some("NoSuchKey"));
        let Some(error) = stayed else { return Ok(()) };
        index = names.iter().position(|name| Some(name.as_str()) == error.key()).unwrap_or(0);
        Err(Fault::refused(error.code().unwrap_or_default(), error.message().unwrap_or_default()))
    });
    deleted.map_err(|fault| (index, fault))
}

/// Older servers require an MD5 of the request's body. Newer ones accept it.
fn add_md5(request: &mut aws_sdk_s3::config::http::HttpRequest) {
    if let Some(body) = request.body().bytes() {
        let sum = base64_simd::STANDARD.encode_to_string(Md5::digest(body));
        request.headers_mut().insert("content-md5", sum);
    }
}
