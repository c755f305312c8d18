/* json.c -- results and points as JSON.  A NULL from jansson means out of memory; jansson's own
 * calls pass it on, and json_print() reports it once. */
#include "json.h"

#include <math.h>
#include <string.h>

json_t *json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *whole(uint64_t x)
{
    return json_integer((json_int_t)x);
}

json_t *json_metrics(const asgd_metrics *m)
{
    json_t *o = json_object();
#define X(name, better) \
    if (!isnan(m->name)) json_object_set_new(o, #name, json_number(m->name));
    ASGD_METRIC_MAP(X)
#undef X
    json_object_set_new(o, "examples", whole(m->examples));
    return o;
}

json_t *json_point(const asgd_point *p)
{
    json_t *o = json_object();
    json_object_set_new(o, "seconds", json_number(p->seconds));
    json_object_set_new(o, "examples", whole(p->examples));
    json_object_set_new(o, "epochs", json_number(p->epochs));
    json_object_set_new(o, "train_loss", json_number(p->train_loss));
    json_object_set_new(o, "lr", json_number(p->lr));
    json_object_set_new(o, "examples_per_second", json_number(p->rate));
    json_object_set_new(o, "staleness", json_number(p->staleness));
    if (p->interventions) json_object_set_new(o, "interventions", whole(p->interventions));
    if (p->evaluated) json_object_set_new(o, "valid", json_metrics(&p->valid));
    return o;
}

static json_t *staleness(const asgd_staleness *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "mean", json_number(s->mean));
    json_object_set_new(o, "p50", whole(s->p50));
    json_object_set_new(o, "p99", whole(s->p99));
    json_object_set_new(o, "max", whole(s->max));
    json_object_set_new(o, "count", whole(s->count));
    return o;
}

/* Up to the last one that is not 0. */
static json_t *histogram(const uint64_t *count, size_t buckets)
{
    json_t *a = json_array();
    while (buckets > 0 && count[buckets - 1] == 0) buckets--;
    for (size_t i = 0; i < buckets; i++) json_array_append_new(a, whole(count[i]));
    return a;
}

static json_t *exchange(const asgd_exchange_result *x)
{
    json_t *o = json_object();
    json_object_set_new(o, "lost", whole(x->lost));
    json_object_set_new(o, "positions", whole(x->positions));
    json_object_set_new(o, "repeated_examples", whole(x->repeated));
    json_object_set_new(o, "lost_examples", whole(x->missing));
    json_object_set_new(o, "rounds", whole(x->rounds));
    json_object_set_new(o, "deltas", whole(x->deltas));
    json_object_set_new(o, "compressed_deltas", whole(x->coded));
    if (x->local_steps) json_object_set_new(o, "local_steps", whole(x->local_steps));
    json_object_set_new(o, "damped", whole(x->damped));
    json_object_set_new(o, "dropped", whole(x->dropped));
    json_object_set_new(o, "clipped", whole(x->clipped));
    json_object_set_new(o, "quarantined", whole(x->quarantined));
    json_object_set_new(o, "interventions", whole(x->interventions));
    json_object_set_new(o, "undone_examples", whole(x->undone));
    json_object_set_new(o, "staleness_mean", json_number(x->tau_mean));
    json_object_set_new(o, "staleness_max", whole(x->tau_max));
    json_object_set_new(o, "staleness_histogram", histogram(x->tau, ASGD_TAU_BUCKETS));
    json_object_set_new(o, "bytes_out", whole(x->bytes_out));
    json_object_set_new(o, "bytes_in", whole(x->bytes_in));
    json_object_set_new(o, "bytes_per_update", json_number(x->bytes_per_update));
    json_object_set_new(o, "stall_seconds", json_number(x->stall_seconds));
    json_object_set_new(o, "wait_seconds", json_number(x->wait_seconds));
    return o;
}

json_t *json_record(const run_record *r)
{
    const asgd_result *a     = &r->result;
    json_t            *o     = json_object();
    json_t            *train = json_object();
    json_t            *each  = json_array();
    json_object_set_new(o, "model", json_string(r->model));
    json_object_set_new(o, "mode", json_string(r->mode));
    json_object_set_new(o, "workers", whole(a->workers));
    json_object_set_new(o, "processes", whole(a->exchange.processes ? a->exchange.processes : 1));
    json_object_set_new(o, "epochs", json_number(a->epochs));
    json_object_set_new(o, "examples", whole(a->examples));
    json_object_set_new(o, "seconds", json_number(a->seconds));
    json_object_set_new(o, "examples_per_second", json_number(record_rate(r)));
    json_object_set_new(train, "loss", json_number(a->train_loss));
    json_object_set_new(o, "train", train);
    json_object_set_new(o, "online_loss", json_number(a->online_loss));
    json_object_set_new(o, "valid", a->evaluated ? json_metrics(&a->valid) : json_object());
    json_object_set_new(o, "staleness", staleness(&a->staleness));

    const char *rule = asgd_rule_name(a->rule);
    json_object_set_new(o, "rule", rule ? json_string(rule) : json_null());
    json_object_set_new(o, "lr", json_number(a->lr));
    json_object_set_new(o, "batch", whole(a->batch));
    json_object_set_new(o, "share", json_string(a->share));
    json_object_set_new(o, "seed", whole(r->seed));
    json_object_set_new(o, "updates", whole(a->updates));
    json_object_set_new(o, "dropped", whole(a->dropped));
    json_object_set_new(o, "damped", whole(a->damped));
    json_object_set_new(o, "load_seconds", json_number(r->load_seconds));
    json_object_set_new(o, "merge_seconds", json_number(a->merge_seconds));
    json_object_set_new(o, "target_seconds", json_number(a->target_seconds));
    json_object_set_new(o, "end", json_string(end_name(a->end)));
    if (a->exchange.processes) json_object_set_new(o, "exchange", exchange(&a->exchange));
    for (uint32_t w = 0; a->worker_examples && w < a->workers; w++) {
        json_array_append_new(each, whole(a->worker_examples[w]));
    }
    json_object_set_new(o, "worker_examples", each);
    json_object_set_new(o, "straggler", *r->straggler ? json_string(r->straggler) : json_null());
    if (!isnan(r->speed)) json_object_set_new(o, "speed", json_number(r->speed));
    if (r->status != ASGD_OK && r->status != ASGD_ESTOPPED) {
        json_object_set_new(o, "error", json_string(r->message));
    }
    return o;
}

int json_print(FILE *f, json_t *j, bool pretty)
{
    size_t flags = JSON_REAL_PRECISION(9) | (pretty ? (size_t)JSON_INDENT(2) : 0);
    bool   good  = j && json_dumpf(j, f, flags) == 0 && fputc('\n', f) != EOF;
    json_decref(j);
    return good ? CLI_OK : CLI_FAILED;
}
