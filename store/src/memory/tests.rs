//! The store in memory passes the suite, and stops where it is told to.

use super::*;

#[test]
fn it_is_a_store() {
    let count = std::sync::atomic::AtomicU32::new(0);
    crate::conformance::run(|| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Memory::new(&format!("conformance-{number}"))
    });
}

#[test]
fn it_stops_at_a_change_and_for_good() {
    let store = Memory::new("stops");
    for (applied, kept) in [(false, 1), (true, 2)] {
        store.set_stop(Some(Stop { at: store.changes() + 2, applied }));
        store.put("a", Bytes::new()).unwrap();
        assert_eq!(store.put("b", Bytes::new()).unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert!(store.has_stopped() && store.list("").is_err() && store.put("c", Bytes::new()).is_err());
        store.set_stop(None);
        assert_eq!(store.list("").unwrap().len(), kept);
    }
}
