//! Streams that fail, wait, end early or are read in small shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use hyper::body::Body as _;

use super::*;

#[tokio::test]
async fn what_fails_before_the_first_item_is_an_ordinary_error() {
    let call = Call::default();

    let failure = stream(&call, Shape::Objects, |_| async { Err(Failure::missing("gone")) }).await.unwrap_err();

    let response = failure.into_response();
    assert_eq!((response.status().as_u16(), &response.headers()[EXIT]), (500, &HeaderValue::from(3)));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error, json!({"Message": "gone", "Code": 0, "Type": "error"}));
}

#[tokio::test]
async fn what_fails_later_is_told_in_trailers() {
    let body = two_items_then_failure(true).await;

    let body = body.collect().await.unwrap();

    let trailers = body.trailers().unwrap();
    assert_eq!(trailers[STREAM_ERROR], "disk full");
    assert_eq!(trailers[EXIT], "1");
    assert_eq!(body.to_bytes(), "1\n2\n");
}

#[tokio::test]
async fn a_caller_that_reads_no_trailers_sees_the_answer_cut_off() {
    let mut body = two_items_then_failure(false).await;

    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1\n");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "2\n");
    assert!(body.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn work_waits_for_its_reader_and_ends_with_it() {
    let sent = Arc::new(AtomicUsize::new(0));
    let witness = Arc::new(());
    let (counter, held) = (sent.clone(), witness.clone());
    let call = Call::default();
    let response = stream(&call, Shape::plain(None), |output| async move {
        let _held = held;
        loop {
            output.bytes(Bytes::from_static(b"more")).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut body = response.await.unwrap().into_body();
    for _ in 0..10 {
        body.frame().await.unwrap().unwrap();
    }

    assert!(sent.load(Ordering::Relaxed) <= 10 + QUEUE, "{sent:?}");
    assert_eq!(Arc::strong_count(&witness), 2);
    drop(body);
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[tokio::test]
async fn work_that_lets_go_of_its_output_early_is_still_ended() {
    let (done, ended) = tokio::sync::oneshot::channel();
    let call = Call::default();
    let response = stream(&call, Shape::Objects, |output| async move {
        output.object(&1).await;
        drop(output);
        tokio::task::yield_now().await;
        done.send(()).unwrap();
        Ok(())
    });

    let body = response.await.unwrap().into_body().collect().await.unwrap();

    assert_eq!(body.to_bytes(), "1\n");
    ended.await.unwrap();
}

#[tokio::test]
async fn what_is_left_is_read_by_a_task_that_has_had_its_share_too() {
    use tokio::task::coop::{consume_budget, has_budget_remaining};
    let call = Call::default();
    let work = |output: Output| async move {
        output.object(&1).await;
        output.object(&2).await;
        Ok(())
    };
    let mut body = stream(&call, Shape::Objects, work).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1\n");

    let second = poll_fn(|context| {
        while has_budget_remaining() {
            let _ = std::pin::pin!(consume_budget()).poll(context);
        }
        Pin::new(&mut body).poll_frame(context)
    });

    assert_eq!(second.await.unwrap().unwrap().into_data().unwrap(), "2\n");
}

#[test]
fn a_message_of_any_length_and_form_fits_into_a_trailer() {
    let failure = Failure::failed("é\r\nX-Evil: 1\0".repeat(MAX_TRAILER));

    let trailers = failure.trailers();

    assert_eq!(trailers.len(), 2);
    assert!(trailers[STREAM_ERROR].len() <= 2 * MAX_TRAILER);
}

async fn two_items_then_failure(trailers: bool) -> Body {
    let mut call = Call::default();
    call.trailers = trailers;
    let work = |output: Output| async move {
        output.object(&1).await;
        output.object(&2).await;
        Err(Failure::failed("disk\nfull"))
    };
    stream(&call, Shape::Objects, work).await.unwrap().into_body()
}
