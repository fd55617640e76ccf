/* What the files of the template engine share: values, the tree, the state of a rendering. */
#ifndef TERN_LLM_TEMPLATE_PARTS_H
#define TERN_LLM_TEMPLATE_PARTS_H

#include "llm/template.h"

/* ---- values ------------------------------------------------------------------------------------------------------- */

typedef enum tern_var_kind {
    TERN_VAR_UNDEFINED, /* text: the name that nobody set */
    TERN_VAR_NONE,
    TERN_VAR_BOOL,
    TERN_VAR_INT,
    TERN_VAR_FLOAT,
    TERN_VAR_TEXT,
    TERN_VAR_LIST,
    TERN_VAR_DICT,
    TERN_VAR_SPACE,  /* a namespace: a dict that set may change */
    TERN_VAR_METHOD, /* text: its name; self: whose */
    TERN_VAR_GLOBAL, /* a function of the engine; text: its name */
    TERN_VAR_MACRO,
} tern_var_kind;

#define TERN_TUPLE 1
#define TERN_LAZY  2

typedef struct tern_var tern_var;
typedef struct tern_var_list {
    tern_var *items;
    size_t count, capacity;
} tern_var_list;
typedef struct tern_var_dict {
    tern_var *keys, *values; /* keys are texts */
    size_t count, capacity;
} tern_var_dict;

struct tern_var {
    tern_var_kind kind;
    size_t
        size; /* bytes of text; of a list: 1 a tuple, 2 what Python would make when it is walked (TERN_LAZY) */
    union {
        bool truth;
        int64_t whole;
        double real;
        const char *text;
        tern_var_list *list;
        tern_var_dict *dict;
        const struct tern_branch *macro;
    };
    const tern_var *self; /* a method's; of a text: not NULL when the filter safe made it */
};

/* ---- the tree ------------------------------------------------------------------------------------------------------ */

typedef enum tern_branch_kind {
    /* statements */
    TERN_BRANCH_DATA,   /* constant */
    TERN_BRANCH_OUTPUT, /* a */
    TERN_BRANCH_FOR,    /* a: targets, b: list, c: condition or NULL, body, other */
    TERN_BRANCH_IF,     /* a: condition, body, other */
    TERN_BRANCH_SET,    /* a: target, b: value; or body */
    TERN_BRANCH_MACRO,  /* constant: name, a: parameters (KEYWORD when with a default), body */
    TERN_BRANCH_BREAK,
    TERN_BRANCH_CONTINUE,
    /* expressions */
    TERN_BRANCH_CONSTANT,
    TERN_BRANCH_NAME,      /* constant */
    TERN_BRANCH_LIST,      /* a: items; op 't': a tuple */
    TERN_BRANCH_DICT,      /* a: key, value, key, value .. */
    TERN_BRANCH_ATTRIBUTE, /* a.constant */
    TERN_BRANCH_ITEM,      /* a[b] */
    TERN_BRANCH_SLICE,     /* a[b:c:d], each may be NULL */
    TERN_BRANCH_CALL,      /* a(b ..) */
    TERN_BRANCH_KEYWORD,   /* constant = a, among arguments */
    TERN_BRANCH_FILTER,    /* a | constant(b ..) */
    TERN_BRANCH_TEST,      /* a is constant(b ..) */
    TERN_BRANCH_NOT,
    TERN_BRANCH_NEGATE,
    TERN_BRANCH_AND,
    TERN_BRANCH_OR,
    TERN_BRANCH_CONDITIONAL, /* a if b else c (c NULL: undefined) */
    TERN_BRANCH_BINARY,      /* a op b; op: + - * / i(//) % p(**) ~ */
    TERN_BRANCH_COMPARE,     /* a op b; op: = ! < l(<=) > g(>=) i(in) n(not in) */
} tern_branch_kind;

typedef struct tern_branch {
    tern_branch_kind kind;
    char op;
    int line;
    tern_var constant;
    struct tern_branch *a, *b, *c, *d, *body, *other, *next;
} tern_branch;

struct tern_template {
    tern_arena arena;
    char *name;
    char *source;
    size_t size;
    tern_branch *body;
};

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

typedef enum tern_lexeme_kind {
    TERN_LEX_DATA,
    TERN_LEX_BEGIN_OUTPUT, /* {{ */
    TERN_LEX_END_OUTPUT,
    TERN_LEX_BEGIN_BLOCK, /* {% */
    TERN_LEX_END_BLOCK,
    TERN_LEX_NAME,
    TERN_LEX_TEXT, /* with escapes resolved */
    TERN_LEX_WHOLE,
    TERN_LEX_REAL,
    TERN_LEX_SIGN, /* operators and brackets */
    TERN_LEX_END,
} tern_lexeme_kind;

typedef struct tern_lexeme {
    tern_lexeme_kind kind;
    int line;
    const char *text;
    size_t size;
} tern_lexeme;

typedef struct tern_lexemes {
    tern_lexeme *items;
    size_t count, capacity;
} tern_lexemes;

/* template_lex.c; texts live in the template's arena or source. */
tern_status tern_template_lex(tern_template *t, tern_lexemes *out);
/* template_block.c, template_parse.c */
tern_status tern_template_parse(tern_template *t, const tern_lexemes *lexemes);

/* ---- rendering ----------------------------------------------------------------------------------------------------- */

typedef struct tern_scope {
    struct tern_scope *outer;
    tern_var_dict names;
} tern_scope;

typedef struct tern_render {
    const tern_template *t;
    tern_arena arena;
    tern_scope *scope, *globals;
    tern_text *out;
    int line;  /* of what is being done */
    int depth; /* of macro calls and values */
    long steps;
} tern_render;

typedef struct tern_call_arguments {
    const tern_var *items; /* [count], in order */
    size_t count;
    tern_var_dict named;
} tern_call_arguments;

/* "<name>:<line>: .." */
tern_status tern_render_fail(const tern_render *r, const char *format, ...) TERN_PRINTF(2, 3);
tern_status tern_render_no_memory(const tern_render *r);

/* values (template_value.c) */
static inline tern_var tern_var_text(const char *text, size_t size)
{
    return (tern_var){.kind = TERN_VAR_TEXT, .size = size, .text = text};
}
static inline tern_var tern_var_whole(int64_t whole)
{
    return (tern_var){.kind = TERN_VAR_INT, .whole = whole};
}
static inline tern_var tern_var_truth(bool truth)
{
    return (tern_var){.kind = TERN_VAR_BOOL, .truth = truth};
}
tern_status tern_var_copy_text(tern_render *r, tern_text *text, tern_var *out); /* and frees it */
tern_status tern_var_new_list(tern_render *r, tern_var *out);
tern_status tern_var_append(tern_render *r, tern_var_list *list, tern_var item);
tern_status tern_var_new_dict(tern_render *r, tern_var *out);
tern_status tern_var_put(tern_render *r, tern_var_dict *dict, tern_var key, tern_var value);
const tern_var *tern_var_get(const tern_var_dict *dict, const char *key, size_t size); /* NULL: not there */
bool tern_var_true(const tern_var *v);
bool tern_var_equal(const tern_var *a, const tern_var *b);
bool tern_var_is(const tern_var *v, const char *text); /* a text that is this one */
const char *tern_var_type(const tern_var *v);
void tern_var_print(tern_text *out, const tern_var *v); /* as Python's str() */
/* As json.dumps; indent -1: one line; ascii: other characters as \u escapes. */
tern_status tern_var_json(tern_render *r, tern_text *out, const tern_var *v, int indent, bool ascii);
tern_status tern_var_from_json(tern_render *r, const char *json, size_t size, tern_var *out);
tern_status tern_var_items(tern_render *r, const tern_var *v, tern_var *list); /* what a loop over it sees */
int64_t tern_var_length(const tern_var *v);                                    /* -1: it has none */

/* template_eval.c, template_call.c, template_filter.c */
tern_status tern_eval(tern_render *r, const tern_branch *b, tern_var *out);
tern_status tern_attribute(tern_render *r, const tern_var *v, const char *name, size_t size, tern_var *out);
tern_status tern_item(tern_render *r, const tern_var *v, const tern_var *index, tern_var *out);
/* op as in TERN_BRANCH_COMPARE. */
tern_status tern_compare(tern_render *r, char op, const tern_var *a, const tern_var *b, bool *out);
tern_status tern_call(tern_render *r, const tern_var *function, const tern_call_arguments *args,
                      tern_var *out);
tern_status tern_apply_filter(tern_render *r, const char *name, const tern_var *v,
                              const tern_call_arguments *args, tern_var *out);
tern_status tern_apply_test(tern_render *r, const char *name, const tern_var *v,
                            const tern_call_arguments *args, bool *out);
tern_status tern_text_method(tern_render *r, const tern_var *self, const char *name,
                             const tern_call_arguments *args, tern_var *out);
bool tern_is_text_method(const char *name, size_t size);
/* The i-th argument or the one of that name; NULL when neither is given. */
const tern_var *tern_argument(const tern_call_arguments *args, size_t i, const char *name);

/* template_run.c */
tern_status tern_run_macro(tern_render *r, const tern_branch *macro, const tern_call_arguments *args,
                           tern_var *out);
tern_status tern_define(tern_render *r, const char *name, size_t size, tern_var value);

#endif
