//! Texts as the API's description has them. They are parsed by the core, whose rules these patterns say.
#![allow(dead_code, reason = "names of schemas; no value is ever of these types")]

use utoipa::ToSchema;

/// A name: 1 to 64 characters in NFC, single spaces between words, nothing in it that is not seen (controls of
/// any kind, private use, unassigned). Letters of every script are taken; the pattern says those that need no
/// table.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^(?=.{1,64}$)[!-~¡-¬®-˿Ѐ-҂Ҋ-ԯא-תء-غぁ-ゖァ-ヺ一-龥가-힣]+( [!-~¡-¬®-˿Ѐ-҂Ҋ-ԯא-תء-غぁ-ゖァ-ヺ一-龥가-힣]+)*$")]
pub(crate) struct LabelText(String);

/// A remark: 1 to 1,000 characters, no control characters but line breaks and tabs, nothing that hides text or
/// moves it elsewhere.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[\t\n -~¡-¬®-˿Ѐ-ԯא-תء-غぁ-ゖァ-ヺ一-龥가-힣]{1,1000}$")]
pub(crate) struct NoteText(String);

/// SHA-256 of a model.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
pub(crate) struct ModelHashText(String);

/// What an agent does or wants to do, `verb:resource`, without wildcards.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^(?=.{3,128}$)[a-z][a-z0-9_-]{0,31}:[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63})*$")]
pub(crate) struct ActionText(String);
