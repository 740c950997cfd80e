//! The SDK's errors in the store's terms. The SDK's own error stays the source.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use hyper_util::client::legacy::Error as HyperError;

use crate::contract::client::{ClientError, is_socket_code};
use crate::error::{Detail, Error, Kind};
use crate::reaching;

/// Codes of "not now": nothing has been done, and the same request may be sent again after a pause.
const THROTTLED: [&str; 6] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "ThrottledException",
    "Throttling",
    "RequestLimitExceeded",
    "RequestThrottledException",
];

/// Codes of an HTTP status of 500 and above, for clients that do not tell the status.
const UNAVAILABLE: [&str; 4] =
    ["InternalServerError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException"];

/// Codes of credentials that DynamoDB does not accept.
const REFUSED: [&str; 10] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "AuthFailure",
];

/// What a request failed of, as far as callers must tell failures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The table does not exist.
    NoTable,
    /// The table is being created or changed.
    InUse,
    /// The credentials may not do this.
    Denied,
    /// A condition of the request does not hold.
    Condition,
    /// A transaction was refused as a whole: nothing of it has happened.
    Canceled,
    /// The item is part of a transaction at this moment.
    Conflict,
    /// Our clock is off, and the signature with it; the next one is right.
    Clock,
    /// The request breaks a rule of DynamoDB.
    Invalid,
    /// Anything else.
    Other,
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// What DynamoDB said.
    pub(super) message: String,
    pub(super) error: Error,
}

impl Failure {
    /// Whether the request may have been carried out all the same.
    pub(super) fn is_uncertain(&self) -> bool {
        self.cause != Cause::Canceled && self.error.is_retryable() && !self.error.is_unsent()
    }

    /// Whether somebody else was there first, or is there at this moment: who looks again knows more.
    pub(super) fn is_met(&self) -> bool {
        match self.cause {
            Cause::Condition | Cause::Conflict => true,
            Cause::Canceled => self.error.is_retryable() || reasons(&self.message).contains(&"ConditionalCheckFailed"),
            _ => false,
        }
    }

    /// Whether an item would be larger than DynamoDB allows.
    pub(super) fn is_too_large(&self) -> bool {
        self.cause == Cause::Invalid && self.message.to_ascii_lowercase().contains("item size")
    }

    /// The error of a transaction of which it is not known whether it has happened.
    pub(super) fn into_unknown_outcome(self) -> Error {
        if matches!(self.error.kind(), Kind::Connection | Kind::Timeout) {
            return self.error;
        }
        let text = format!("whether the transaction has happened is not known: {}", self.error.message());
        Error::new(Kind::Connection, text).with_source(self.error)
    }
}

impl Failure {
    /// Says of a server that was not reached where it was looked for.
    pub(super) fn looked_for_at(mut self, place: impl FnOnce() -> String) -> Self {
        if [UNREACHABLE, LATE].contains(&self.error.message()) {
            self.error = reaching::looked_for_at(self.error, &place());
        }
        self
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { cause: Cause::Other, message: String::new(), error }
    }
}

/// Classifies what came of a request about `table`.
pub(super) fn classify<E>(error: SdkError<E>, table: &str) -> Failure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let message = error.message().unwrap_or_default().to_owned();
    let (cause, classified) = match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            answered(error.code().unwrap_or_default(), &message, status, table)
        }
        SdkError::DispatchFailure(failure) => {
            (Cause::Other, failure.as_connector_error().map_or_else(broken, dispatching))
        }
        SdkError::ResponseError(response) if response.raw().status().is_server_error() => (Cause::Other, unavailable()),
        SdkError::ResponseError(_) if caused_by::<HyperError>(&error) || caused_by::<std::io::Error>(&error) => {
            (Cause::Other, broken())
        }
        SdkError::ResponseError(_) => (
            Cause::Other,
            Error::new(Kind::Backend, "what answers at this endpoint does not speak DynamoDB's protocol"),
        ),
        SdkError::TimeoutError(_) => (Cause::Other, Error::new(Kind::Timeout, "DynamoDB did not answer in time")),
        _ => (Cause::Other, Error::new(Kind::Backend, "the request to DynamoDB could not be made")),
    };
    Failure { cause, message, error: classified.with_source(error) }
}

/// Classifies what a client of the application threw.
pub(super) fn of_client(error: ClientError, table: &str) -> Failure {
    let message = error.message.clone();
    let code = error.code.as_deref().unwrap_or(&error.name);
    let (cause, classified) = match code {
        "ECONNREFUSED" | "ENOTFOUND" | "EAI_AGAIN" | "EHOSTUNREACH" | "ENETUNREACH" => (Cause::Other, unreachable()),
        _ if is_socket_code(code) => (Cause::Other, broken()),
        "TimeoutError" | "AbortError" => {
            (Cause::Other, Error::new(Kind::Timeout, "the client gave up waiting for DynamoDB"))
        }
        "CredentialsProviderError" | "TokenProviderError" => {
            let text = format!("the client has no AWS credentials: {message}");
            (Cause::Other, Error::new(Kind::Connection, text).retryable(false).unsent())
        }
        // The client has repeated it already, in pauses of its own.
        _ if THROTTLED.contains(&code) => (Cause::Other, not_now()),
        _ if UNAVAILABLE.contains(&code) => (Cause::Other, unavailable()),
        _ if error.code.is_none() || code == "Error" => {
            (Cause::Other, Error::new(Kind::Backend, format!("the client failed: {message}")))
        }
        _ => answered(code, &message, 0, table),
    };
    Failure { cause, message, error: classified.with_source(error) }
}

/// DynamoDB has answered with an error.
fn answered(code: &str, message: &str, status: u16, table: &str) -> (Cause, Error) {
    if THROTTLED.contains(&code) {
        return (Cause::Other, throttled());
    }
    if is_clock_error(code, message) {
        // The SDK learns the difference from the answer and signs the next request with it.
        let text = "DynamoDB refuses the signature because this machine's clock is off";
        return (Cause::Clock, Error::new(Kind::Connection, text).retryable(true).unsent());
    }
    if REFUSED.contains(&code) {
        let text = format!("DynamoDB refuses the credentials ({code}): wrong access key, secret key or session token");
        return (Cause::Other, Error::new(Kind::Connection, text).retryable(false));
    }
    let backend = |text: String| Error::new(Kind::Backend, text);
    match code {
        "ExpiredToken" | "ExpiredTokenException" => (
            Cause::Other,
            Error::new(Kind::Connection, "DynamoDB refuses the credentials: they were temporary and have expired")
                .retryable(false),
        ),
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => {
            let text = match denied_action(message) {
                Some(action) => format!("these credentials lack the permission {action} on table {table}"),
                None => format!("these credentials lack a permission on table {table}"),
            };
            (Cause::Denied, backend(text))
        }
        "ResourceNotFoundException" | "TableNotFoundException" => {
            (Cause::NoTable, backend(format!("table {table} does not exist in this region: call initialize()")))
        }
        "ResourceInUseException" | "TableInUseException" => {
            (Cause::InUse, backend(format!("table {table} is being created or changed")).retryable(true).unsent())
        }
        "ConditionalCheckFailedException" => (Cause::Condition, backend(String::from("a condition does not hold"))),
        "TransactionCanceledException" => (Cause::Canceled, canceled(&reasons(message))),
        "TransactionInProgressException" => (
            Cause::Other,
            backend(String::from("the transaction is still under way, from an attempt before")).retryable(true),
        ),
        "TransactionConflictException" | "ReplicatedWriteConflictException" => (
            Cause::Conflict,
            backend(String::from("the item is part of a transaction at this moment")).retryable(true).unsent(),
        ),
        "LimitExceededException" => {
            (Cause::Other, backend(String::from("DynamoDB is at a limit of this account")).retryable(true).unsent())
        }
        "ValidationException" if is_about_a_key(message) => {
            let text = format!(
                "table {table} has another key than it should: initialize() and health() say which ({message})"
            );
            (Cause::Invalid, backend(text))
        }
        "ValidationException" => {
            (Cause::Invalid, backend(format!("DynamoDB refused the request to table {table} as invalid: {message}")))
        }
        _ if status >= 500 => (Cause::Other, unavailable()),
        "" => (Cause::Other, backend(format!("DynamoDB answered with HTTP status {status}"))),
        _ => (Cause::Other, backend(format!("DynamoDB refused the request ({code})"))),
    }
}

/// A request names a key, and the table has another one.
fn is_about_a_key(message: &str) -> bool {
    // The last two are DynamoDB Local's.
    let texts = [
        "does not match the schema",
        "Missing the key",
        "key schema",
        "number of conditions on the keys",
        "required keys was not given",
    ];
    texts.iter().any(|text| message.contains(text))
}

/// "User: … is not authorized to perform: dynamodb:PutItem on resource: …"
fn denied_action(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("to perform: ")?;
    rest.split_whitespace().next().filter(|action| action.starts_with("dynamodb:"))
}

fn is_clock_error(code: &str, message: &str) -> bool {
    let stale = ["Signature expired", "Signature not yet current"].iter().any(|text| message.contains(text));
    code == "RequestTimeTooSkewed" || code == "RequestExpired" || (REFUSED.contains(&code) && stale)
}

/// The request did not get as far as an answer.
fn dispatching(connector: &ConnectorError) -> Error {
    let source: &(dyn StdError + 'static) = connector;
    if let Some(credentials) = find::<CredentialsError>(source) {
        return no_credentials(credentials);
    }
    let is_identity = |error: &(dyn StdError + 'static)| error.to_string().contains("identity resolver timed out");
    if chain(source).any(is_identity) {
        return chain_failed("the AWS default chain found no credentials within connectTimeoutMs")
            .retryable(true)
            .unsent();
    }
    if chain(source).any(|error| error.to_string().contains("invalid peer certificate")) {
        return Error::new(
            Kind::Connection,
            "the TLS certificate of the DynamoDB endpoint is not trusted or not valid",
        )
        .retryable(false)
        .unsent();
    }
    if find::<HyperError>(source).is_some_and(HyperError::is_connect) {
        return if connector.is_timeout() { unreachable_in_time() } else { unreachable() };
    }
    if connector.is_timeout() {
        // The only timeout that the client has is the one of connecting.
        return unreachable_in_time();
    }
    if connector.is_user() { Error::new(Kind::Backend, "the request to DynamoDB could not be sent") } else { broken() }
}

const UNREACHABLE: &str = "cannot connect to DynamoDB";
const LATE: &str = "DynamoDB did not answer within connectTimeoutMs";

fn unreachable() -> Error {
    Error::new(Kind::Connection, UNREACHABLE).unsent()
}

/// Nothing has come back; or the connection was not even made.
pub(super) fn unreachable_in_time() -> Error {
    Error::new(Kind::Connection, LATE).unsent()
}

fn no_credentials(error: &CredentialsError) -> Error {
    match error {
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
            // The SDK has tried several times. A refusal stays one; a way that is interrupted may open again.
            let interrupted = error.source().is_none_or(caused_by::<ConnectorError>);
            chain_failed("the AWS default chain could not load credentials").retryable(interrupted).unsent()
        }
        CredentialsError::InvalidConfiguration(_) => {
            chain_failed("the AWS configuration that names the credentials is not valid")
        }
        _ => chain_failed("no AWS credentials were found"),
    }
}

fn chain_failed(what: &str) -> Error {
    let text = format!(
        "{what}: give them as option 'credentials', or where the AWS default chain looks (environment, profile and SSO, \
        web identity, container, instance metadata); for a local endpoint any will do"
    );
    Error::new(Kind::Connection, text).retryable(false)
}

/// No AWS region is known.
pub(super) fn no_region() -> Error {
    Error::invalid(
        "no AWS region is known: name it in the URL (dynamodb://eu-west-1/table), as option 'region', in AWS_REGION or in \
        the AWS profile",
    )
}

/// Not now; nothing has been done.
pub(super) fn throttled() -> Error {
    not_now().throttled()
}

fn not_now() -> Error {
    Error::new(Kind::Backend, "DynamoDB throttles the requests to this table").retryable(true).unsent()
}

/// What the items of a transaction were refused for, in their order: `TransactionCanceledException`
/// ends with such as `[None, ConditionalCheckFailed]`.
pub(super) fn reasons(message: &str) -> Vec<&str> {
    let listed = message.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']'));
    listed.map_or_else(Vec::new, |(codes, _)| codes.split(',').map(str::trim).collect())
}

/// Which of the items was refused, and why: one that would be refused again, if there is one.
fn canceled(reasons: &[&str]) -> Error {
    let passes =
        |reason: &str| ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"].contains(&reason);
    let failed = || reasons.iter().enumerate().filter(|(_, reason)| **reason != "None");
    let Some((index, reason)) = failed().find(|(_, reason)| !passes(reason)).or_else(|| failed().next()) else {
        return Error::new(Kind::Backend, "DynamoDB cancelled the transaction").unsent();
    };
    let why = match *reason {
        "ConditionalCheckFailed" => "its condition does not hold",
        "TransactionConflict" => "it is being changed by somebody else at this moment",
        "ThrottlingError" | "ProvisionedThroughputExceeded" => "DynamoDB throttles the requests to its table",
        "ItemCollectionSizeLimitExceeded" => "its item collection is larger than DynamoDB allows",
        "ValidationError" => "DynamoDB refused it as invalid",
        "DuplicateItem" => "it exists already",
        other => other,
    };
    let text = format!("DynamoDB cancelled the transaction because of item {} of {}: {why}", index + 1, reasons.len());
    Error::new(Kind::Backend, text)
        .retryable(passes(reason))
        .unsent()
        .with_detail("reason", Detail::Text((*reason).to_owned()))
        .with_detail(ITEM, Detail::count(index as u64))
}

/// The place of the item for which a transaction was cancelled, as a detail of the error.
const ITEM: &str = "itemIndex";

/// Which item a transaction was cancelled for.
pub(super) fn canceled_item(error: &Error) -> Option<usize> {
    let index = error.details().iter().find(|(name, _)| *name == ITEM)?;
    if let Detail::Number(index) = index.1 { usize::try_from(index).ok() } else { None }
}

fn unavailable() -> Error {
    Error::new(Kind::Backend, "DynamoDB is not available at this moment").retryable(true)
}

/// The connection broke while a request was on its way.
fn broken() -> Error {
    Error::new(Kind::Connection, "the connection to DynamoDB broke")
}

/// An answer that leaves out what it must have.
pub(super) fn unexpected() -> Error {
    Error::new(Kind::Backend, "DynamoDB answered in an unexpected way")
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref::<E>())
}

fn caused_by<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    find::<E>(error).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, message: &str, status: u16) -> (Cause, Error) {
        answered(code, message, status, "orders")
    }

    #[test]
    fn answers_are_classified() {
        for (code, message, status, cause, kind, retryable) in [
            ("ProvisionedThroughputExceededException", "", 400, Cause::Other, Kind::Backend, true),
            ("ThrottlingException", "", 400, Cause::Other, Kind::Backend, true),
            ("RequestLimitExceeded", "", 400, Cause::Other, Kind::Backend, true),
            ("InternalServerError", "", 500, Cause::Other, Kind::Backend, true),
            ("", "", 503, Cause::Other, Kind::Backend, true),
            ("", "", 404, Cause::Other, Kind::Backend, false),
            (
                "UnrecognizedClientException",
                "The security token is invalid.",
                400,
                Cause::Other,
                Kind::Connection,
                false,
            ),
            ("InvalidSignatureException", "does not match", 400, Cause::Other, Kind::Connection, false),
            ("MissingAuthenticationTokenException", "", 400, Cause::Other, Kind::Connection, false),
            ("ExpiredTokenException", "", 400, Cause::Other, Kind::Connection, false),
            ("AccessDeniedException", "", 400, Cause::Denied, Kind::Backend, false),
            ("ResourceNotFoundException", "", 400, Cause::NoTable, Kind::Backend, false),
            ("ResourceInUseException", "", 400, Cause::InUse, Kind::Backend, true),
            ("ValidationException", "", 400, Cause::Invalid, Kind::Backend, false),
        ] {
            let (found, error) = of(code, message, status);
            assert_eq!((found, error.kind(), error.is_retryable()), (cause, kind, retryable), "{code} {status}");
        }
        assert!(of("ThrottlingException", "", 400).1.is_throttled());
        assert!(of("ThrottlingException", "", 400).1.is_unsent());
        assert!(!of("InternalServerError", "", 500).1.is_unsent());
    }

    #[test]
    fn a_cancelled_transaction_names_the_item() {
        let cancelled = |reasons: &str| {
            let text =
                format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{reasons}]");
            let (cause, error) = of("TransactionCanceledException", &text, 400);
            assert_eq!((cause, error.kind()), (Cause::Canceled, Kind::Backend));
            assert!(error.is_unsent() && !error.is_throttled());
            error
        };
        for (reasons, item, retryable) in [
            ("None, ConditionalCheckFailed, None", 1, false),
            ("TransactionConflict", 0, true),
            ("None, ThrottlingError", 1, true),
            ("ProvisionedThroughputExceeded, None", 0, true),
            // What would fail again counts more.
            ("TransactionConflict, None, ValidationError", 2, false),
            ("ItemCollectionSizeLimitExceeded, ThrottlingError", 0, false),
        ] {
            let error = cancelled(reasons);
            assert_eq!((canceled_item(&error), error.is_retryable()), (Some(item), retryable), "{error}");
            let shown = format!("item {} of {}", item + 1, reasons.split(',').count());
            assert!(error.message().contains(&shown), "{error}");
        }
        assert_eq!(canceled_item(&of("TransactionCanceledException", "no reasons", 400).1), None);
        assert!(of("TransactionInProgressException", "", 400).1.is_retryable());
        assert!(!of("IdempotentParameterMismatchException", "", 400).1.is_retryable());
    }

    #[test]
    fn what_clients_throw_is_classified() {
        for (name, code, kind, retryable, unsent) in [
            ("Error", Some("ECONNREFUSED"), Kind::Connection, true, true),
            ("Error", Some("ECONNRESET"), Kind::Connection, true, false),
            ("TimeoutError", Some("TimeoutError"), Kind::Timeout, true, false),
            ("TimeoutError", None, Kind::Timeout, true, false),
            ("CredentialsProviderError", None, Kind::Connection, false, true),
            ("ThrottlingException", Some("ThrottlingException"), Kind::Backend, true, true),
            ("InternalServerError", Some("InternalServerError"), Kind::Backend, true, false),
            ("ValidationException", Some("ValidationException"), Kind::Backend, false, false),
            ("TypeError", None, Kind::Backend, false, false),
        ] {
            let thrown = ClientError { name: name.into(), code: code.map(str::to_owned), ..ClientError::default() };
            let error = of_client(thrown, "orders").error;
            let found = (error.kind(), error.is_retryable(), error.is_unsent());
            assert_eq!(found, (kind, retryable, unsent), "{name} {code:?}");
            // It has its attempts, and not as many as fit: the client has had its own.
            assert!(!error.is_throttled());
        }
        let code = Some(String::from("ResourceNotFoundException"));
        let failure = of_client(ClientError { code, ..ClientError::default() }, "orders");
        assert!(failure.cause == Cause::NoTable && failure.error.message().contains("orders"), "{failure:?}");
        let failed = ClientError { name: "TypeError".into(), message: "no region".into(), ..ClientError::default() };
        assert!(of_client(failed, "orders").error.message().contains("no region"));
    }

    #[test]
    fn a_clock_that_is_off_is_said() {
        let text = "Signature expired: 20260101T000000Z is now earlier than 20260101T005500Z";
        for (code, message) in [("InvalidSignatureException", text), ("RequestTimeTooSkewed", "")] {
            let (_, error) = of(code, message, 400);
            assert!(error.message().contains("clock") && error.is_retryable() && error.is_unsent(), "{error:?}");
        }
    }

    #[test]
    fn errors_name_the_action_and_the_table() {
        let text = "User: arn:aws:iam::1:user/x is not authorized to perform: dynamodb:PutItem on resource: arn";
        let (_, error) = of("AccessDeniedException", text, 400);
        assert!(error.message().contains("dynamodb:PutItem on table orders"), "{error}");
        assert!(of("ResourceNotFoundException", "", 400).1.message().contains("orders does not exist"));
        let (cause, error) = of("ValidationException", "The provided key element does not match the schema", 400);
        assert!(cause == Cause::Invalid && error.message().contains("another key"), "{error}");
    }

    #[test]
    fn a_chain_without_credentials_is_named() {
        let error = dispatching(&ConnectorError::other(CredentialsError::not_loaded("none").into(), None));
        assert!(error.message().contains("default chain") && !error.is_retryable(), "{error:?}");
        assert_eq!(error.kind(), Kind::Connection);
        let refused = CredentialsError::provider_error("forbidden");
        assert!(!dispatching(&ConnectorError::other(refused.into(), None)).is_retryable());
        let interrupted = CredentialsError::provider_error(ConnectorError::io("reset".into()));
        assert!(dispatching(&ConnectorError::other(interrupted.into(), None)).is_retryable());
        let error = dispatching(&ConnectorError::timeout("connect".into()));
        assert!(error.is_unsent() && error.is_retryable());
        let error = dispatching(&ConnectorError::io("reset".into()));
        assert!(!error.is_unsent() && error.is_retryable());
    }
}
