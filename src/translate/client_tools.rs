//! Anthropic's tools that the client runs by itself: with a schema for their input any model can use them.

use crate::wire::anthropic::request::Tool;

/// A kind of tool, whatever its version.
pub(super) struct ClientTool {
    /// What its type starts with.
    prefix: &'static str,
    pub(super) description: &'static str,
    /// Input as documented for the tool's type.
    pub(super) schema: &'static str,
}

const CLIENT_TOOLS: [ClientTool; 3] = [
    ClientTool {
        prefix: "bash_",
        description: "Runs a command in a persistent bash session and returns its output.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","description":"The command to run. Required unless restart is set."},"restart":{"type":"boolean","description":"Set to true to restart the session."}}}"#,
    },
    ClientTool {
        prefix: "text_editor_",
        description: "Views, creates and edits text files.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"],"description":"What to do."},"path":{"type":"string","description":"Absolute path of the file or directory."},"file_text":{"type":"string","description":"For create: the content of the new file."},"old_str":{"type":"string","description":"For str_replace: the text to replace, which must occur exactly once."},"new_str":{"type":"string","description":"For str_replace: the replacement. For insert: the text to insert."},"insert_line":{"type":"integer","description":"For insert: the line after which the text goes; 0 for the beginning."},"insert_text":{"type":"string","description":"For insert: the text to insert."},"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: first and last line, -1 for the end."}},"required":["command","path"]}"#,
    },
    ClientTool {
        prefix: "memory_",
        description: "Stores and retrieves notes in files below /memories that outlive the conversation.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"],"description":"What to do."},"path":{"type":"string","description":"Path below /memories."},"file_text":{"type":"string","description":"For create: the content."},"old_str":{"type":"string","description":"For str_replace: the text to replace."},"new_str":{"type":"string","description":"For str_replace: the replacement."},"insert_line":{"type":"integer","description":"For insert: the line after which the text goes."},"insert_text":{"type":"string","description":"For insert: the text."},"old_path":{"type":"string","description":"For rename: the path now."},"new_path":{"type":"string","description":"For rename: the path then."},"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: first and last line."}},"required":["command"]}"#,
    },
];

impl ClientTool {
    /// The kind that this tool's type says, if it is one of these.
    pub(super) fn of(tool: &Tool<'_>) -> Option<&'static ClientTool> {
        let kind = tool.kind.as_deref()?;
        CLIENT_TOOLS.iter().find(|typed| kind.starts_with(typed.prefix))
    }
}
