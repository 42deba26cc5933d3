//! A session whose switch is turned.

use conceptrol_core::{AttentionError, BatchLayout, Cancel, Session, SiteId};

use crate::{block, cat, chain, cross_call, plan_of};

#[test]
fn a_cancelled_session_attends_no_more() {
    let plan = plan_of(block());
    let session = || Session::new(&plan, BatchLayout::guided(1), [cat()]).expect("valid");
    let cancel = Cancel::new();
    let mut session_of = session().cancel(cancel.clone());
    let before = session_of.attend(SiteId::new(1), cross_call(1, 2, 0));
    assert!(before.is_ok() && session_of.board().latest(0).is_some());
    let published = session_of
        .board()
        .latest(0)
        .map(|mask| mask.values().to_data());

    std::thread::spawn(move || cancel.cancel())
        .join()
        .expect("cancelled");
    for site in [1, 2] {
        let error = session_of.attend(SiteId::new(site), cross_call(site, 2, 1));
        let error = error.expect_err("cancelled");
        assert!(
            matches!(&error, AttentionError::At { source, .. } if matches!(**source, AttentionError::Cancelled)),
            "{error:?}"
        );
        let name = ["concept", "after"][site - 1];
        assert_eq!(chain(&error), format!("{name}: cancelled"));
    }
    let still = session_of
        .board()
        .latest(0)
        .map(|mask| mask.values().to_data());
    assert_eq!(still, published, "nothing new was published");

    // another session over the same plan goes on
    let other = session().attend(SiteId::new(1), cross_call(1, 2, 0));
    assert_eq!(
        other.expect("not cancelled").into_data(),
        before.expect("not yet cancelled").into_data()
    );
}
