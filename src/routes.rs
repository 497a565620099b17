//! One table: method and path to handler.

use actix_web::http::Method;
use actix_web::middleware::Compress;
use actix_web::web::{ServiceConfig, get, method, post, resource, to};

use crate::handlers::{count_tokens, health, messages, metrics, models, reply, usage};

/// Adds every route.
pub fn table(config: &mut ServiceConfig) {
    let only = |allowed| to(move |request| reply::wrong_method(request, allowed));
    let head = || method(Method::HEAD);
    config
        .service(resource("/v1/messages").route(post().to(messages::create)).default_service(only("POST")))
        .service(
            resource("/v1/messages/count_tokens").route(post().to(count_tokens::count)).default_service(only("POST")),
        )
        .service(resource("/v1/models").route(get().to(models::list)).default_service(only("GET")))
        // An id may hold slashes, as those of OpenRouter do.
        .service(resource("/v1/models/{id:.+}").route(get().to(models::retrieve)).default_service(only("GET")))
        .service(
            resource("/metrics")
                .wrap(Compress::default())
                .route(get().to(metrics::scrape))
                .default_service(only("GET")),
        )
        .service(resource("/admin/usage").route(get().to(usage::show)).default_service(only("GET")))
        .default_service(to(reply::unknown_path));
    config
        .service(
            resource("/")
                .route(get().to(health::root))
                .route(head().to(health::root))
                .default_service(only("GET, HEAD")),
        )
        .service(
            resource("/healthz")
                .route(get().to(health::alive))
                .route(head().to(health::alive))
                .default_service(only("GET, HEAD")),
        )
        .service(
            resource("/readyz")
                .route(get().to(health::ready))
                .route(head().to(health::ready))
                .default_service(only("GET, HEAD")),
        );
}
