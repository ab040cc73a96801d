//! Syntax that cannot run: TypeScript that is more than types, and proposals that the engine does not have.

use oxc_ast::ast::{
    AccessorProperty, Decorator, FormalParameter, Program, TSEnumDeclaration, TSExportAssignment, TSExternalModuleDeclaration,
    TSGlobalDeclaration, TSImportEqualsDeclaration, TSNamespaceDeclaration, TSTypeAssertion,
};
use oxc_ast_visit::{VisitJs, walk_js};
use oxc_span::{GetSpan, Span};

use super::position::Raw;
use crate::api::Code;

/// Everything of that kind.
pub(super) fn check_typescript(program: &Program<'_>) -> Vec<Raw> {
    let mut visitor = Visitor { found: Vec::new() };
    visitor.visit_program(program);
    visitor.found
}

struct Visitor {
    found: Vec<Raw>,
}

impl Visitor {
    fn find(&mut self, span: Span, what: &str, help: &str) {
        let message = format!("{what} cannot run: only the types of TypeScript are removed");
        self.found.push(Raw::at(Code::SyntaxError, span, message, help));
    }
}

impl<'a> VisitJs<'a> for Visitor {
    fn visit_ts_enum_declaration(&mut self, it: &TSEnumDeclaration<'a>) {
        if !it.declare {
            let help = format!("write `const {} = {{ ... }} as const`", it.id.name);
            self.find(it.id.span, "an enum", &help);
        }
    }

    fn visit_ts_namespace_declaration(&mut self, it: &TSNamespaceDeclaration<'a>) {
        if !it.declare {
            self.find(it.id.span, "a namespace", "write functions and constants at the top level, or an object");
        }
    }

    fn visit_ts_external_module_declaration(&mut self, _: &TSExternalModuleDeclaration<'a>) {}

    fn visit_ts_global_declaration(&mut self, _: &TSGlobalDeclaration<'a>) {}

    fn visit_ts_import_equals_declaration(&mut self, it: &TSImportEqualsDeclaration<'a>) {
        if it.import_kind.is_value() {
            self.find(it.span, "`import ... =`", "write `import { ... } from \"everloop\"`");
        }
    }

    fn visit_ts_export_assignment(&mut self, it: &TSExportAssignment<'a>) {
        self.find(it.span, "`export =`", "write `export default`");
    }

    fn visit_ts_type_assertion(&mut self, it: &TSTypeAssertion<'a>) {
        self.find(Span::new(it.span.start, it.expression.span().start), "`<Type>value`", "write `value as Type`");
        walk_js::walk_ts_type_assertion(self, it);
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        if it.accessibility.is_some() || it.readonly || it.r#override {
            self.find(it.span, "a parameter property", "declare the field in the class and assign it in the constructor");
        }
        walk_js::walk_formal_parameter(self, it);
    }

    fn visit_decorator(&mut self, it: &Decorator<'a>) {
        self.found.push(Raw::at(Code::SyntaxError, it.span, "decorators are not supported", "call the function yourself"));
    }

    fn visit_accessor_property(&mut self, it: &AccessorProperty<'a>) {
        self.found.push(Raw::at(Code::SyntaxError, it.span, "`accessor` fields are not supported", "write `get` and `set`"));
        walk_js::walk_accessor_property(self, it);
    }
}
