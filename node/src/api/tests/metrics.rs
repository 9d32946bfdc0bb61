use axum::http::StatusCode;

use axum::http::header::{CONTENT_TYPE, HOST};
use bytes::Bytes;
use cidra_content::Block;
use cidra_content::block::RAW;
use http_body_util::BodyExt;

use super::*;

#[tokio::test]
async fn figures_are_on_the_port_and_count_what_is_called() {
    let house = House::new(port);
    let put = Block::new(RAW, Bytes::from_static(b"hello"));
    house.node.store().put(vec![put]).await.unwrap();
    house.node.store().commit().await.unwrap();
    for name in ["version", "version", "nonsense"] {
        house.post(name, &[]).await;
    }

    for path in ["/metrics", "/debug/metrics/prometheus"] {
        let response = house.ask(Method::GET, path, &[(HOST, "localhost:5001")]).await;
        assert_eq!(
            (response.status(), &response.headers()[CONTENT_TYPE].to_str().unwrap()[..25]),
            (StatusCode::OK, "text/plain; version=0.0.4")
        );
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();

        for expected in [
            "\ncidra_store_blocks 1.0\n",
            "\ncidra_store_data_bytes 5.0\n",
            "\ncidra_hashing_queue_bytes 0.0\n",
            "\ncidra_rpc_request_duration_seconds_count{command=\"version\"} 2\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        // A command that there is not must not make a figure: strangers make names up.
        assert!(!text.contains("nonsense"), "{text}");
    }
    let refused = house.ask(Method::GET, "/metrics", &[(HOST, "evil.example")]).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}
