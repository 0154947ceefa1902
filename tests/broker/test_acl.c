/* test_acl.c - the access list by itself: patterns, entries in order, names that are put in, and a
 * client's view of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rows.h"

#include "broker/acl.h"

#include "base/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- a filter in a pattern ---- */

static const struct fits_case {
    const char *name, *pattern, *filter;
    bool want;
} fits_cases[] = {
    { "the same topic", "a/b", "a/b", true },
    { "another topic", "a/b", "a/c", false },
    { "topic above", "a/b", "a", false },
    { "topic below", "a/b", "a/b/c", false },
    { "plus takes a level", "a/+/c", "a/b/c", true },
    { "plus takes an empty level", "a/+/c", "a//c", true },
    { "plus takes not two levels", "a/+", "a/b/c", false },
    { "plus takes plus", "a/+", "a/+", true },
    { "plus takes no hash", "a/+", "a/#", false },
    { "plus is wider than a literal", "a/b", "a/+", false },
    { "hash takes all below", "a/#", "a/b/c", true },
    { "hash takes the parent", "a/#", "a", true },
    { "hash takes plus", "a/#", "a/+/b", true },
    { "hash takes hash", "a/#", "a/#", true },
    { "hash takes a deeper hash", "a/#", "a/b/#", true },
    { "hash is wider than a deeper hash", "a/b/#", "a/#", false },
    { "hash is wider than its parent", "a", "a/#", false },
    { "hash beside its parent", "a/+/#", "a/#", false },
    { "all in all", "#", "#", true },
    { "all in everything with a level", "+/#", "#", true },
    { "all with two levels is not all", "+/+/#", "#", false },
    { "what begins with a slash has two levels", "+/+/#", "/#", true },
    { "what begins with a slash, spelled out", "/+/#", "/#", true },
    { "what begins with two slashes", "//+/#", "//#", false },
    { "everything with a level in all", "#", "+/#", true },
    { "all is not one level", "+", "#", false },
    { "all is wider", "a/#", "#", false },
    { "any first level is wider", "a/#", "+/#", false },
    { "any level of another length", "+/a", "+/+", false },
    { "leading slash", "/a", "a", false },
    { "plus before a slash", "+/a", "/a", true },
    { "trailing slash", "a/", "a", false },
    { "hash hides $ topics", "#", "$SYS/up", false },
    { "hash hides $ filters", "#", "$SYS/#", false },
    { "plus hides $ topics", "+/up", "$SYS/up", false },
    { "plus and hash hide $ topics", "+/#", "$SYS/#", false },
    { "$SYS by name", "$SYS/#", "$SYS/broker/+", true },
    { "$SYS is not all", "$SYS/#", "#", false },
    { "$ inside is nothing special", "a/+", "a/$b", true },
    { "case matters", "a/B", "a/b", false },
    { "a byte short", "sensors/a", "sensors/ab", false },
    { "percent is itself here", "a/%u", "a/%u", true },
};

static void fits(void **state)
{
    const struct fits_case *c = *state;
    assert_true(sl_filter_valid(sl_str(c->pattern)) && sl_filter_valid(sl_str(c->filter)));
    assert_int_equal(acl_fits(sl_str(c->pattern), sl_str(c->filter)), c->want);
}

/* ---- a name in a user pattern ---- */

static const struct user_case {
    const char *name, *pattern, *user;
    bool want;
} user_cases[] = {
    { "the same name", "anna", "anna", true },
    { "another name", "anna", "ann", false },
    { "longer name", "ann", "anna", false },
    { "star at the end", "sensor-*", "sensor-17", true },
    { "star takes nothing", "sensor-*", "sensor-", true },
    { "star does not take back", "sensor-*", "sensor", false },
    { "star at the start", "*-17", "sensor-17", true },
    { "star in the middle", "s*7", "sensor-17", true },
    { "star in the middle, other end", "s*7", "sensor-18", false },
    { "two stars", "*or-*", "sensor-17", true },
    { "two stars, the first must go on", "*a*b", "xaxbab", true },
    { "star alone", "*", "anybody", true },
    { "star alone, empty name", "*", "", true },
    { "stars alone", "**", "x", true },
    { "empty name", "a", "", false },
    { "case matters", "Anna", "anna", false },
    { "many stars end soon", "*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      false },
};

static void user_fits(void **state)
{
    const struct user_case *c = *state;
    assert_int_equal(acl_user_fits(sl_str(c->pattern), sl_str(c->user)), c->want);
}

/* ---- entries ---- */

#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static const struct acl_entry_options interface_page[] = {
    { .deny = LIST("private/#") },
    { .user = "sensor-*", .publish = LIST("sensors/%u/#"), .subscribe = LIST("cmd/%u/#") },
    { .user = "dashboard", .subscribe = LIST("#") },
    { .anonymous = true, .publish = LIST("open/#") },
};
static const struct acl_entry_options order[] = {
    { .user = "early", .subscribe = LIST("a/secret") },
    { .deny = LIST("a/secret", "b/+/x"), .subscribe = LIST("a/#", "b/#") },
    { .subscribe = LIST("b/1/x") },
    { .deny = LIST("c/#") },
    { .subscribe = LIST("c/#", "c/open") },
};
static const struct acl_entry_options names[] = {
    { .deny = LIST("own/%c/secret", "box-%u/key") },
    { .publish = LIST("own/%c/#", "mix/%u-%c/x", "%u/top", "100%%/a"), .subscribe = LIST("own/#") },
    { .publish = LIST("box-one/#") },
};
static const struct acl_entry_options dollar[] = {
    { .user = "sys", .subscribe = LIST("$SYS/#") },
    { .subscribe = LIST("#") },
};

#define OF(list) list, SL_ARRAY_LEN(list)
static const struct may_case {
    const char *name;
    const struct acl_entry_options *entries;
    size_t count;
    const char *user, *id; /* user NULL: nameless */
    enum acl_right right;
    const char *filter;
    bool want;
} may_cases[] = {
    { "own topic", OF(interface_page), "sensor-1", "c", ACL_PUBLISH, "sensors/sensor-1/t", true },
    { "own topic, its parent", OF(interface_page), "sensor-1", "c", ACL_PUBLISH, "sensors/sensor-1",
      true },
    { "another's topic", OF(interface_page), "sensor-1", "c", ACL_PUBLISH, "sensors/sensor-2/t",
      false },
    { "longer name's topic", OF(interface_page), "sensor-1", "c", ACL_PUBLISH,
      "sensors/sensor-11/t", false },
    { "publish is not subscribe", OF(interface_page), "sensor-1", "c", ACL_SUBSCRIBE,
      "sensors/sensor-1/t", false },
    { "subscribe is not publish", OF(interface_page), "sensor-1", "c", ACL_PUBLISH,
      "cmd/sensor-1/t", false },
    { "own commands", OF(interface_page), "sensor-1", "c", ACL_SUBSCRIBE, "cmd/sensor-1/#", true },
    { "everybody's commands", OF(interface_page), "sensor-1", "c", ACL_SUBSCRIBE, "cmd/+/#",
      false },
    { "others have no such right", OF(interface_page), "anna", "c", ACL_PUBLISH, "sensors/anna/t",
      false },
    { "everything", OF(interface_page), "dashboard", "c", ACL_SUBSCRIBE, "#", true },
    { "everything but what is denied", OF(interface_page), "dashboard", "c", ACL_SUBSCRIBE,
      "private/a", false },
    { "filter that is denied", OF(interface_page), "dashboard", "c", ACL_SUBSCRIBE, "private/+",
      false },
    { "nobody publishes what is denied", OF(interface_page), "sensor-1", "c", ACL_PUBLISH,
      "private/a", false },
    { "nameless, its own entry", OF(interface_page), NULL, "c", ACL_PUBLISH, "open/a", true },
    { "nameless, another's entry", OF(interface_page), NULL, "c", ACL_SUBSCRIBE, "#", false },
    { "named, the nameless one's entry", OF(interface_page), "anna", "c", ACL_PUBLISH, "open/a",
      false },
    { "user called like a pattern", OF(interface_page), "sensor-*", "c", ACL_PUBLISH,
      "sensors/sensor-*/t", true },
    { "an earlier right stands", OF(order), "early", "c", ACL_SUBSCRIBE, "a/secret", true },
    { "an earlier denial stands", OF(order), "late", "c", ACL_SUBSCRIBE, "a/secret", false },
    { "denied before a later right", OF(order), "late", "c", ACL_SUBSCRIBE, "b/1/x", false },
    { "partly denied is allowed", OF(order), "late", "c", ACL_SUBSCRIBE, "b/#", true },
    { "nothing says a word", OF(order), "late", "c", ACL_SUBSCRIBE, "d", false },
    { "denied as a whole", OF(order), "late", "c", ACL_SUBSCRIBE, "c/#", false },
    { "wider than a denial, not allowed", OF(order), "late", "c", ACL_SUBSCRIBE, "#", false },
    { "no right to publish", OF(order), "late", "c", ACL_PUBLISH, "a/b", false },
    { "client id", OF(names), "u", "id7", ACL_PUBLISH, "own/id7/a", true },
    { "another client id", OF(names), "u", "id7", ACL_PUBLISH, "own/id8/a", false },
    { "denied by client id", OF(names), "u", "id7", ACL_PUBLISH, "own/id7/secret", false },
    { "two names in a level", OF(names), "u", "id7", ACL_PUBLISH, "mix/u-id7/x", true },
    { "two names in a level, wrong", OF(names), "u", "id7", ACL_PUBLISH, "mix/u-id/x", false },
    { "two names, too long", OF(names), "u", "id7", ACL_PUBLISH, "mix/u-id77/x", false },
    { "name in the first level", OF(names), "u", "id7", ACL_PUBLISH, "u/top", true },
    { "percent", OF(names), "u", "id7", ACL_PUBLISH, "100%/a", true },
    { "double percent", OF(names), "u", "id7", ACL_PUBLISH, "100%%/a", false },
    { "placeholder taken by its letters", OF(names), "u", "id7", ACL_PUBLISH, "own/%c/a", false },
    { "id plus widens nothing", OF(names), "u", "+", ACL_PUBLISH, "own/x/a", false },
    { "id plus as a topic", OF(names), "u", "+", ACL_PUBLISH, "own/+/a", false },
    { "id hash widens nothing", OF(names), "u", "#", ACL_PUBLISH, "own/x", false },
    { "id with a slash widens nothing", OF(names), "u", "x/y", ACL_PUBLISH, "own/x/y", false },
    { "id with a dollar widens nothing", OF(names), "u", "$x", ACL_PUBLISH, "own/$x/a", false },
    { "user $SYS widens nothing", OF(names), "$SYS", "c", ACL_PUBLISH, "$SYS/top", false },
    { "user plus widens nothing", OF(names), "+", "c", ACL_PUBLISH, "x/top", false },
    { "no user widens nothing", OF(names), NULL, "c", ACL_PUBLISH, "/top", false },
    { "no id widens nothing", OF(names), "u", "", ACL_PUBLISH, "own//a", false },
    { "unusable id loosens no denial", OF(names), "u", "x/y", ACL_SUBSCRIBE, "own/x/y/secret",
      false },
    { "unusable id denies from there on", OF(names), "u", "x/y", ACL_SUBSCRIBE, "own/+/b", false },
    { "unusable id denies the filter", OF(names), "u", "x/y", ACL_SUBSCRIBE, "own/#", false },
    { "unusable id denies no other topic", OF(names), "u", "x/y", ACL_PUBLISH, "100%/a", true },
    { "unusable user, other beginning", OF(names), "a/b", "c", ACL_PUBLISH, "own/c/x", true },
    { "unusable user, same beginning", OF(names), "a/b", "c", ACL_PUBLISH, "box-one/x", false },
    { "usable user, same beginning", OF(names), "two", "c", ACL_PUBLISH, "box-one/x", true },
    { "$SYS by name", OF(dollar), "sys", "c", ACL_SUBSCRIBE, "$SYS/broker/+", true },
    { "$SYS is not in #", OF(dollar), "other", "c", ACL_SUBSCRIBE, "$SYS/broker/uptime", false },
    { "all but $SYS", OF(dollar), "other", "c", ACL_SUBSCRIBE, "+/a", true },
    { "no entries allow nothing", interface_page, 0, "anna", "c", ACL_SUBSCRIBE, "a", false },
};

static struct sl_slice user_slice(const char *user)
{
    return user ? sl_str(user) : (struct sl_slice){ 0 };
}

/* Asked twice: what is remembered is the same as what is worked out. */
static void may(void **state)
{
    const struct may_case *c = *state;
    struct acl *a = acl_new(c->entries, c->count);
    assert_non_null(a);
    struct acl_view *v = acl_view_new(a, user_slice(c->user), sl_str(c->id));
    assert_non_null(v);
    acl_unref(a);
    assert_int_equal(acl_may(v, c->right, sl_str(c->filter)), c->want);
    for (int i = 0; c->right == ACL_PUBLISH && i < 2; i++)
        assert_int_equal(acl_may_publish(v, sl_str(c->filter)), c->want);
    acl_view_free(v);
}

/* ---- views ---- */

static void remembers_by_topic(void **state)
{
    (void)state;
    struct acl *a = acl_new(interface_page, SL_ARRAY_LEN(interface_page));
    struct acl_view *v = acl_view_new(a, sl_str("sensor-1"), sl_str("c"));
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 20; i++) {
            char topic[160];
            int pad = i % 5 == 4 ? 100 : 1; /* too long to be remembered */
            (void)snprintf(topic, sizeof topic, "%s/sensor-1/%0*d", i & 1 ? "sensors" : "sensorz",
                           pad, i);
            assert_int_equal(acl_may_publish(v, sl_str(topic)), i & 1);
        }
    acl_view_free(v);
    acl_unref(a);
}

static void another_list_takes_over(void **state)
{
    (void)state;
    struct acl *a = acl_new(interface_page, SL_ARRAY_LEN(interface_page));
    struct acl *b = acl_new(dollar, SL_ARRAY_LEN(dollar));
    struct acl_view *v = acl_view_new(a, sl_str("sensor-1"), sl_str("c"));
    assert_true(acl_may_publish(v, sl_str("sensors/sensor-1/t")));
    assert_true(acl_view_denies(v) && acl_view_is_under(v, a));
    acl_unref(a);
    acl_view_replace(&v, b);
    assert_false(acl_may_publish(v, sl_str("sensors/sensor-1/t")));
    assert_true(acl_may(v, ACL_SUBSCRIBE, sl_str("x")));
    assert_true(!acl_view_denies(v) && acl_view_is_under(v, b));
    acl_unref(b);
    acl_view_free(v);
}

static void knows_its_user(void **state)
{
    (void)state;
    struct acl *a = acl_new(NULL, 0);
    struct acl_view *named = acl_view_new(a, sl_str("u"), sl_str("c"));
    struct acl_view *nameless = acl_view_new(a, (struct sl_slice){ 0 }, sl_str("c"));
    struct acl_view *empty = acl_view_new(a, sl_str(""), sl_str("c"));
    assert_true(acl_view_is_of(named, sl_str("u")));
    assert_false(acl_view_is_of(named, sl_str("v")));
    assert_false(acl_view_is_of(named, (struct sl_slice){ 0 }));
    assert_true(acl_view_is_of(nameless, (struct sl_slice){ 0 }));
    assert_false(acl_view_is_of(nameless, sl_str("")));
    assert_true(acl_view_is_of(empty, sl_str("")));
    acl_view_free(named);
    acl_view_free(nameless);
    acl_view_free(empty);
    acl_unref(a);
}

/* As many entries and patterns as the configuration can name, and a bit more. */
static void large_list(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct acl_entry_options *entries = test_calloc(COUNT, sizeof *entries);
    const char *const none[] = { "nobody/+/here", "nobody/#", NULL };
    const char *const last[] = { "last", NULL };
    for (int i = 0; i < COUNT; i++)
        entries[i] =
            (struct acl_entry_options){ .deny = none, .publish = i < COUNT - 1 ? none : last };
    struct acl *a = acl_new(entries, COUNT);
    struct acl_view *v = acl_view_new(a, sl_str("u"), sl_str("c"));
    assert_true(acl_may(v, ACL_PUBLISH, sl_str("last")));
    assert_false(acl_may(v, ACL_PUBLISH, sl_str("first")));
    acl_view_free(v);
    acl_unref(a);
    test_free(entries);
}

int main(void)
{
    enum { ROWS = SL_ARRAY_LEN(fits_cases) + SL_ARRAY_LEN(user_cases) + SL_ARRAY_LEN(may_cases) };
    struct CMUnitTest tests[ROWS + 4];
    size_t n = 0;
    n += ROWS_OF(tests + n, fits_cases, fits);
    n += ROWS_OF(tests + n, user_cases, user_fits);
    n += ROWS_OF(tests + n, may_cases, may);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(remembers_by_topic);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(another_list_takes_over);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(knows_its_user);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(large_list);
    return _cmocka_run_group_tests("acl", tests, n, NULL, NULL);
}
