# bash completion for asgd.  Names and choices come from the program itself
# (asgd help --complete COMMAND), so that they cannot differ from it.

_asgd()
{
    local cur prev command option arg choices
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    command=${COMP_WORDS[1]}
    COMPREPLY=()

    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "train eval predict recommend compare synth inspect help version" -- "$cur"))
        return
    fi
    if [ "$command" = help ]; then
        COMPREPLY=($(compgen -W "train eval predict recommend compare synth inspect linear softmax mlp fm ffm mf bpr" -- "$cur"))
        return
    fi
    case $prev in
    -o) prev=--output ;;
    -q) prev=--interactions ;;
    esac
    while IFS=$'\001' read -r option arg choices _; do
        [ "$option" = "$prev" ] && [ -n "$arg" ] || continue
        if [ -n "$choices" ]; then
            COMPREPLY=($(compgen -W "${choices//,/ }" -- "$cur"))
        elif [ "$option" = --target ]; then
            compopt -o nospace 2>/dev/null
            COMPREPLY=($(compgen -S = -W "loss accuracy error auc logloss ne rmse mae p1 p3 p5 precision recall ndcg map" -- "$cur"))
        else
            case $arg in
            PATH | FILE* | DIR)
                compopt -o filenames 2>/dev/null
                COMPREPLY=($(compgen -f -- "$cur"))
                ;;
            esac
        fi
        return
    done < <("${COMP_WORDS[0]}" help --complete "$command" 2>/dev/null | tr '\t' '\001')

    case $cur in
    -*)
        COMPREPLY=($(compgen -W "--help $("${COMP_WORDS[0]}" help --complete "$command" 2>/dev/null |
            cut -f1)" -- "$cur"))
        return
        ;;
    esac
    case $command in
    train | compare)
        [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W "linear softmax mlp fm ffm mf bpr" -- "$cur"))
        ;;
    synth)
        [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W "digits clicks ratings" -- "$cur"))
        ;;
    *)
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
        ;;
    esac
}

complete -F _asgd asgd
