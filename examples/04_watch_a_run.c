/* 04_watch_a_run.c -- look on while workers train, and stop them: at a target, or with Ctrl-C.
 *
 * The observer is called on your own thread, the one in asgd_train(), so it may print, lock and
 * allocate; no worker waits for it.  The run ends in good order in each case, and the model holds what
 * was learnt so far. */
#include <asgd/asgd.h>

#include <signal.h>
#include <stdio.h>

static volatile int interrupted; /* what a signal handler may write */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static int show(const asgd_point *p, void *user)
{
    int *points = user;
    ++*points;
    printf("%5.1f %%  %6.2f s  %9.0f examples/s  loss %.4f  lr %.4f  staleness %.2f",
           100 * (double)p->examples / p->total, p->seconds, p->rate, p->train_loss, p->lr,
           p->staleness);
    if (p->evaluated)
        printf("  | valid loss %.4f  accuracy %.4f", p->valid.loss, p->valid.accuracy);
    printf("\n");
    return 0; /* anything else ends the run, too */
}

int main(void)
{
    asgd_source *train = NULL, *valid = NULL;
    asgd_model  *model  = NULL;
    asgd_result  result = {0};
    int          points = 0;
    signal(SIGINT, on_interrupt);

    asgd_status s = asgd_synth_digits("digits", 8000, 1000, 2);
    if (s == ASGD_OK) s = asgd_source_open(&train, "digits", NULL);
    if (s == ASGD_OK)
        s = asgd_source_open(&valid, "digits", &(asgd_source_options){.test_part = true});
    if (s == ASGD_OK) s = asgd_model_named(&model, "softmax", NULL, asgd_source_schema(train));

    asgd_config config = {.epochs       = 40,
                          .seed         = 1,
                          .valid        = valid,
                          .eval_every   = 2000, /* examples */
                          .target       = "accuracy=0.8",
                          .max_seconds  = 60,
                          .report_every = 0.05,
                          .observe      = show,
                          .user         = &points,
                          .stop         = &interrupted};
    if (s == ASGD_OK) s = asgd_train(model, train, &config, &result);

    static const char *const why[] = {[ASGD_END_EPOCHS]   = "all epochs were done",
                                      [ASGD_END_TARGET]   = "the target was reached",
                                      [ASGD_END_PATIENCE] = "it got no better",
                                      [ASGD_END_SECONDS]  = "the time was up",
                                      [ASGD_END_STOPPED]  = "you stopped it"};
    if (s == ASGD_OK || s == ASGD_ESTOPPED)
        printf("ended because %s, after %.2f epochs; %zu points are in the result's history\n",
               why[result.end], result.epochs, result.n_history);
    else
        fprintf(stderr, "%s: %s\n", asgd_strerror(s), asgd_errmsg());
    bool good = s == ASGD_ESTOPPED ||
                (s == ASGD_OK && result.end == ASGD_END_TARGET && points > 0 &&
                 result.target_seconds <= result.seconds && result.valid.accuracy > 0.7);

    asgd_result_free(&result);
    asgd_model_free(model);
    asgd_source_close(valid);
    asgd_source_close(train);
    return good ? 0 : 1;
}
