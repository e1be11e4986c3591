//! `septet smoke` on a server: each kind of request, and each kind of wrong set-up.

use std::fs;
use std::net::TcpListener;

use septet_tests::s3::{Bucket, Fault, Proxy, Seaweed, Server, Times};
use septet_tests::{Scratch, command};

const STEPS: [&str; 8] =
    ["put", "ranged get", "multipart", "conditional put", "list", "delete", "full backup", "smoke test passed"];

fn assert_fails(server: &Server, place: &str, step: &str, words: &[&str]) {
    let outcome = Bucket::at(server, place).septet(&["smoke"]).run().exits(1);
    let error = outcome.error_line();
    assert!(error.contains(step), "{error}");
    assert!(words.iter().all(|word| error.contains(word)), "{error} should say {words:?}");
    assert!(!error.contains("secret") || error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
}

#[test]
fn the_smoke_test_tries_each_request_and_leaves_nothing() {
    let seaweed = Seaweed::shared();
    let repo = seaweed.repo("/smoke");
    let said = repo.septet(&["smoke"]).ok().stdout;
    let places: Vec<_> =
        STEPS.map(|step| said.find(step).unwrap_or_else(|| panic!("{step} is missing in {said}"))).into();
    assert!(places.is_sorted(), "{said}");
    assert_eq!(repo.objects(), ["septet.json"]);
    assert_eq!(repo.unfinished(), 0);
}

#[test]
fn each_wrong_set_up_is_told_in_one_line() {
    let seaweed = Seaweed::shared();
    let (good, bucket) = (seaweed.server().clone(), seaweed.bucket());
    let wrong_key = Server { access_key: "nobody".to_owned(), ..good.clone() };
    assert_fails(&wrong_key, bucket, "put", &["access key", "AWS_ACCESS_KEY_ID"]);
    let wrong_secret = Server { secret_key: "wrong".to_owned(), ..good.clone() };
    assert_fails(&wrong_secret, bucket, "put", &["AWS_SECRET_ACCESS_KEY"]);
    assert_fails(&good, "no-such-bucket", "put", &["no such bucket"]);
    assert_fails(&seaweed.read_only(), bucket, "put", &["denies access", "grant this key the rights"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    assert_fails(&Server { endpoint: endpoint.clone(), ..good.clone() }, bucket, "put", &["refused", &endpoint]);
    let nowhere = Server { endpoint: "http://no-such-host.invalid".to_owned(), ..good.clone() };
    assert_fails(&nowhere, bucket, "put", &["no-such-host.invalid", "is healthy and reachable"]);
}

#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    let seaweed = Seaweed::shared();
    let proxy = Proxy::before(seaweed.server());
    // The one request that must be refused is answered with success.
    proxy.inject(Fault::Answer(200, ""), Times::FromThenOn, 0, |request| {
        request.conditional && request.target.contains("/septet-smoke-")
    });
    assert_fails(proxy.server(), seaweed.bucket(), "conditional put", &["ignores If-None-Match", "--id"]);
}

#[test]
fn tls_is_trusted_with_its_own_ca_and_no_other() {
    let scratch = Scratch::in_memory();
    let file = |name: &str| scratch.path(name).to_string_lossy().into_owned();
    for name in ["right", "other"] {
        let subject = format!("/CN={name}");
        let (key, pem) = (file(&format!("{name}.key")), file(&format!("{name}.pem")));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "subjectAltName=IP:127.0.0.1"];
        command(
            "openssl",
            [&["req", "-x509", "-subj", &subject, "-keyout", &key, "-out", &pem], &curve[..], &extensions].concat(),
        );
    }
    // A private CA signs the server's certificate, as in a data centre.
    let (csr, extensions) = (file("server.csr"), scratch.file("extensions", b"subjectAltName=IP:127.0.0.1\n"));
    let (key, pem) = (file("server.key"), file("server.pem"));
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=server"];
    command("openssl", [&new[..], &["-keyout", &key, "-out", &csr]].concat());
    let (ca, ca_key) = (file("right.pem"), file("right.key"));
    let sign =
        ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2", "-out", &pem];
    command("openssl", [&sign[..], &["-extfile", &extensions.to_string_lossy()]].concat());

    let seaweed = Seaweed::start_with_tls(&scratch.path("server.pem"), &scratch.path("server.key"));
    let repo = seaweed.repo("");
    repo.septet(&["smoke"]).env("AWS_CA_BUNDLE", file("right.pem")).ok();
    let smoke = |bundle: &str| repo.septet(&["smoke"]).env("AWS_CA_BUNDLE", bundle);
    smoke(&file("other.pem")).fails(1, "is not trusted");
    smoke(&file("no.pem")).fails(1, "AWS_CA_BUNDLE");
    fs::write(scratch.path("text.pem"), "no certificate").unwrap();
    smoke(&file("text.pem")).fails(1, "AWS_CA_BUNDLE");
    // Plain HTTP to a server that requires TLS, and TLS to a server of plain HTTP.
    let swapped = Server { endpoint: seaweed.plain().endpoint.replace("http:", "https:"), ..seaweed.plain().clone() };
    Bucket::at(&swapped, seaweed.bucket())
        .septet(&["smoke"])
        .env("AWS_CA_BUNDLE", file("right.pem"))
        .fails(1, "does not speak TLS");
}
