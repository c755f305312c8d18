/* opts_table.c -- the one table of options.  A name here is the flag, the key in a --config file
 * and, where there is one, the field of asgd_config. */
#include "opts.h"

#define AT(field) offsetof(cli_options, field)
#define LEARN (CMD_TRAIN | CMD_COMPARE)
#define USE (CMD_EVAL | CMD_PREDICT)

#define DATA "Data"
#define MODEL "Model (asgd help MODEL tells which it has and their defaults)"
#define LEARNING "Learning"
#define WORKERS "Workers and memory"
#define STOPPING "Evaluation and stopping"
#define CHECKPOINT "Checkpoints"
#define EXPERIMENT "Experiments"
#define OUTPUT "Output"

const opt_spec opt_table[] = {
    {"train", DATA, LEARN, OPT_TEXT, AT(train), .arg = "PATH",
     .help = "training data: an IDX folder (reads train-*), or a LIBSVM or CSV file, plain, .gz, "
             ".xz, .bz2 or .zst; - is standard input"},
    {"valid", DATA, LEARN, OPT_TEXT, AT(valid), .arg = "PATH",
     .help = "validation data; of an IDX folder t10k-* is read, so it may be the same folder"},
    {"data", DATA, USE, OPT_TEXT, AT(data), .arg = "PATH",
     .help = "data: an IDX folder, or a LIBSVM or CSV file; - is standard input"},
    {"part", DATA, USE | CMD_INSPECT, OPT_CHOICE, AT(part), .arg = "PART",
     .fallback = "test (inspect: train)", .help = "of an IDX folder: train-* or t10k-*",
     .choices = "train,test"},
    {"format", DATA, LEARN | USE | CMD_INSPECT, OPT_CHOICE, AT(format), .arg = "NAME",
     .fallback = "guessed", .help = "format of the data", .choices = "idx,libsvm,csv"},
    {"label", DATA, LEARN | USE | CMD_INSPECT, OPT_TEXT, AT(label), .arg = "COLUMN",
     .fallback = "the first", .help = "csv: name of the label's column, or its number from 1"},
    {"cache", DATA, LEARN | USE | CMD_INSPECT, OPT_TEXT, AT(cache), .arg = "DIR",
     .fallback = "beside the file", .help = "folder for parsed text; none: no cache"},
    {"examples", DATA, CMD_SYNTH, OPT_WHOLE, AT(examples), .arg = "N", .fallback = "60000",
     .help = "training examples to draw", .low = 1, .high = 1e8},
    {"test", DATA, CMD_SYNTH, OPT_WHOLE, AT(test), .arg = "N", .fallback = "10000",
     .help = "test examples to draw", .low = 1, .high = 1e8},
    {"hidden", MODEL, LEARN, OPT_TEXT, AT(hidden), .arg = "N,N,...",
     .help = "mlp: units of the hidden layers"},
    {"activation", MODEL, LEARN, OPT_TEXT, AT(activation), .arg = "NAME",
     .help = "mlp: what follows a hidden layer"},
    {"dropout", MODEL, LEARN, OPT_TEXT, AT(dropout), .arg = "PART",
     .help = "mlp: part of the hidden units left out of a step"},
    {"init", MODEL, LEARN, OPT_TEXT, AT(init), .arg = "NAME", .help = "mlp: how weights start"},
    {"loss", MODEL, LEARN, OPT_TEXT, AT(loss), .arg = "NAME",
     .help = "linear, mlp: what is minimised"},
    {"bias", MODEL, LEARN, OPT_TEXT, AT(bias), .arg = "0|1",
     .help = "linear: with a constant term or without"},
    {"epochs", LEARNING, LEARN, OPT_REAL, AT(epochs), .arg = "X", .fallback = "the model's",
     .help = "passes over the training data; 0.5 is half of one", .low = 0, .high = 1e6,
     .above = true},
    {"batch", LEARNING, LEARN, OPT_WHOLE, AT(batch), .arg = "N", .fallback = "the model's",
     .help = "examples an update is computed from", .low = 1, .high = 1e6},
    {"rule", LEARNING, LEARN, OPT_CHOICE, AT(rule), .arg = "NAME", .fallback = "the model's",
     .help    = "how a gradient changes the parameters",
     .choices = "sgd,momentum,adagrad,rmsprop,adam,ftrl"},
    {"lr", LEARNING, LEARN, OPT_REAL, AT(lr), .arg = "X", .fallback = "the model's for the rule",
     .help = "learning rate", .low = 0, .high = 1e6, .above = true},
    {"schedule", LEARNING, LEARN, OPT_CHOICE, AT(schedule), .arg = "NAME",
     .fallback = "the model's", .help = "how the learning rate goes on through the run",
     .choices = "constant,linear,cosine"},
    {"warmup", LEARNING, LEARN, OPT_REAL, AT(warmup), .arg = "PART", .fallback = "0",
     .help = "part of the run, 0 to 1, in which the learning rate rises from 0", .low = 0,
     .high = 1},
    {"beta1", LEARNING, LEARN, OPT_REAL, AT(beta1), .arg = "X", .fallback = "0.9 (rmsprop 0.99)",
     .help = "momentum, adam: decay of the mean gradient; rmsprop: of its square", .low = 0,
     .high = 1, .above = true, .below = true},
    {"beta2", LEARNING, LEARN, OPT_REAL, AT(beta2), .arg = "X", .fallback = "0.999 (ftrl 1)",
     .help = "adam: decay of the squared gradient; ftrl: its beta", .low = 0, .high = 1e6,
     .above = true},
    {"eps", LEARNING, LEARN, OPT_REAL, AT(eps), .arg = "X", .fallback = "1e-8",
     .help = "adagrad, rmsprop, adam: added to the root", .low = 1e-30, .high = 1},
    {"l1", LEARNING, LEARN, OPT_REAL, AT(l1), .arg = "X", .fallback = "0", .help = "penalty on |w|",
     .low = 0, .high = 1e6},
    {"l2", LEARNING, LEARN, OPT_REAL, AT(l2), .arg = "X", .fallback = "0",
     .help = "penalty on w^2 / 2", .low = 0, .high = 1e6},
    {"seed", LEARNING, LEARN | CMD_SYNTH, OPT_WHOLE, AT(seed), .arg = "N", .fallback = "0",
     .help = "of everything random", .low = 0, .high = 18446744073709551615.0},
    {"workers", WORKERS, CMD_TRAIN | CMD_COMPARE | USE | CMD_INSPECT, OPT_WHOLES, AT(workers),
     .arg = "N", .fallback = "one per core", .help = "worker threads; compare takes a list: 1,2,4",
     .low = 1, .high = 1024},
    {"mode", WORKERS, CMD_TRAIN, OPT_CHOICE, AT(mode), .arg = "NAME", .fallback = "async",
     .help = "async: nobody waits; sync: all wait after every step; locked: one update at a time; "
             "sequential: one worker, the same bits every time",
     .choices = "async,sync,locked,sequential"},
    {"modes", WORKERS, CMD_COMPARE, OPT_LIST, AT(modes), .arg = "LIST",
     .fallback = "sequential,sync,async",
     .help = "modes to compare: async, sync, locked, sequential; sync+1 is sync with one backup "
             "worker"},
    {"share", WORKERS, LEARN, OPT_CHOICE, AT(share), .arg = "NAME", .fallback = "auto",
     .help    = "shared: all write one copy (Hogwild); hot: the most frequent rows private and "
                "merged; replica: all rows private and merged; auto: by table",
     .choices = "auto,shared,hot,replica"},
    {"merge", WORKERS, LEARN, OPT_WHOLE, AT(merge), .arg = "N", .fallback = "chosen",
     .help = "hot, replica: examples of a worker between merges", .low = 1, .high = 1e9},
    {"hot", WORKERS, LEARN, OPT_WHOLE, AT(hot), .arg = "N", .fallback = "4096",
     .help = "hot: private rows", .low = 1, .high = 1e9},
    {"damp", WORKERS, LEARN, OPT_REAL, AT(damp), .arg = "N", .fallback = "4",
     .help =
         "hot, replica: progress staler than N times the updates usually in flight counts less; "
         "-1: never",
     .low = -1, .high = 1e9},
    {"backup", WORKERS, CMD_TRAIN, OPT_WHOLE, AT(backup), .arg = "N", .fallback = "0",
     .help = "sync: the slowest N gradients of a step are dropped", .low = 0, .high = 1023},
    {"pin", WORKERS, LEARN, OPT_FLAG, AT(pin), .help = "bind workers to cores"},
    {"eval-every", STOPPING, LEARN, OPT_REAL, AT(eval_every), .arg = "N", .fallback = "an epoch",
     .help = "examples between evaluations of --valid", .low = 0, .high = 1e15, .above = true},
    {"target", STOPPING, LEARN, OPT_TEXT, AT(target), .arg = "METRIC=VALUE",
     .help =
         "stop when reached: accuracy=0.97; metrics: loss, accuracy, error, auc, logloss, rmse"},
    {"patience", STOPPING, LEARN, OPT_WHOLE, AT(patience), .arg = "N", .fallback = "never",
     .help = "stop after N evaluations without a better loss", .low = 1, .high = 1e6},
    {"max-seconds", STOPPING, LEARN, OPT_TIME, AT(max_seconds), .arg = "TIME",
     .fallback = "no limit", .help = "stop after this long: 90, 90s, 15min, 2h", .low = 0,
     .high = 1e9, .above = true},
    {"checkpoint", CHECKPOINT, CMD_TRAIN, OPT_TEXT, AT(checkpoint), .arg = "DIR",
     .help = "folder for the state of the run"},
    {"checkpoint-every", CHECKPOINT, CMD_TRAIN, OPT_TIME, AT(checkpoint_every), .arg = "TIME",
     .fallback = "60s", .help = "time between checkpoints", .low = 0, .high = 1e9, .above = true},
    {"resume", CHECKPOINT, CMD_TRAIN, OPT_FLAG, AT(resume),
     .help = "go on from the checkpoint if there is one"},
    {"straggler", EXPERIMENT, LEARN, OPT_LIST, AT(straggler), .arg = "W:FACTORx",
     .help = "worker W (from 0) takes FACTOR times as long: 3:10x; 10x is the last worker; "
             "0:2x+3:10x are two; compare runs each of a list: none,3:10x"},
    {"pace", EXPERIMENT, LEARN, OPT_TIME, AT(pace), .arg = "TIME", .fallback = "0",
     .help = "a step takes at least this long, by sleeping: 5ms, 0.01s, 10us", .low = 0,
     .high = 3600},
    {"output", OUTPUT, CMD_TRAIN | CMD_PREDICT | CMD_SYNTH, OPT_TEXT, AT(output), .arg = "PATH",
     .help = "where the result goes; written beside and renamed, so an old file stays whole until "
             "the new one is",
     .letter = 'o'},
    {"probabilities", OUTPUT, CMD_PREDICT, OPT_FLAG, AT(probabilities),
     .help = "classes: after the label, the probability of every class, TAB between"},
    {"log", OUTPUT, LEARN, OPT_TEXT, AT(log), .arg = "FILE.jsonl",
     .help = "one JSON object a line as the run goes on (--resume appends)"},
    {"report", OUTPUT, LEARN, OPT_TEXT, AT(report), .arg = "FILE.html",
     .help = "one page with curves, staleness, shares of the workers and all settings"},
    {"json", OUTPUT, LEARN | CMD_EVAL | CMD_INSPECT, OPT_FLAG, AT(json),
     .help = "the result as JSON on standard output"},
    {"machine", OUTPUT, CMD_INSPECT, OPT_FLAG, AT(machine),
     .help = "describe cores, caches and kernels"},
    {"quiet", OUTPUT, LEARN | USE | CMD_SYNTH, OPT_FLAG, AT(quiet),
     .help = "no progress and no notes; train: no summary"},
    {"config", OUTPUT, LEARN | USE | CMD_SYNTH, OPT_TEXT, AT(config), .arg = "FILE",
     .help =
         "options from a file, lines \"name = value\", # comments; the command line goes first"},
    {.name = NULL},
};
_Static_assert(sizeof opt_table / sizeof *opt_table <= OPT_CAPACITY, "OPT_CAPACITY is too small");

const cli_command cli_commands[] = {
    {"train", CMD_TRAIN, "MODEL --train PATH [--valid PATH] [-o OUT.safetensors] [options]",
     "train a model",
     "  asgd train mlp --train mnist --valid mnist -o digits.safetensors\n"
     "  asgd train linear --train a9a --valid a9a.t --workers 4 --epochs 5 --report run.html\n",
     "Ctrl-C ends the run in good order, saves -o and the checkpoint, and says how to go on;\n"
     "a second one ends it at once.  Exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n",
     "MODEL", false, cmd_train},
    {"eval", CMD_EVAL, "OUT.safetensors --data PATH [options]", "measure a trained model on data",
     "  asgd eval digits.safetensors --data mnist\n"
     "  asgd eval adult.safetensors --data a9a.t --json\n",
     NULL, "OUT.safetensors", false, cmd_eval},
    {"predict", CMD_PREDICT, "OUT.safetensors --data PATH [-o FILE] [options]",
     "one line of prediction for each example",
     "  asgd predict digits.safetensors --data mnist -o labels.txt\n"
     "  asgd predict adult.safetensors --data a9a.t > probabilities.txt\n",
     "A line is the label for models of classes, the probability (logistic) or margin (hinge) of\n"
     "the second label for two-class models, and the value for regression.\n",
     "OUT.safetensors", false, cmd_predict},
    {"compare", CMD_COMPARE, "MODEL --train PATH --valid PATH [--modes LIST] [options]",
     "the same training in several modes, side by side",
     "  asgd compare mlp --train mnist --valid mnist --target accuracy=0.97\n"
     "  asgd compare mlp --train mnist --valid mnist --modes sync,sync+1,async --workers 4 \\\n"
     "      --straggler none,3:10x --report compare.html\n",
     "Every run has the same seed and settings.  sequential runs once, without straggler.\n",
     "MODEL", false, cmd_compare},
    {"synth", CMD_SYNTH, "KIND -o DIR [options]", "make synthetic data",
     "  asgd synth digits -o digits\n"
     "  asgd synth digits -o small --examples 2000 --test 500 --seed 7\n",
     "KIND: digits (a folder like MNIST's: 28x28 images of the ten digits).\n", "KIND", false,
     cmd_synth},
    {"inspect", CMD_INSPECT, "PATH | --machine", "what is in a model, in data, in this machine",
     "  asgd inspect digits.safetensors\n"
     "  asgd inspect mnist\n",
     NULL, "PATH", true, cmd_inspect},
    {NULL, 0, NULL, NULL, NULL, NULL, NULL, false, NULL},
};
