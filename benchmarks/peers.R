# The other side in R: fits of lme4, lmerTest, pbkrtest and nlme, timed inside this process.
# Run by run.py as: Rscript --vanilla peers.R FOLDER, where FOLDER/formula.txt holds the formula.

args <- commandArgs(TRUE)
folder <- args[1]
suppressPackageStartupMessages(library(lme4))
quiet <- function(e) suppressWarnings(suppressMessages(e))
control <- lmerControl(calc.derivs = FALSE)

read_table <- function(folder) {
  columns <- read.delim(file.path(folder, "columns.tsv"), header = FALSE, colClasses = "character")
  out <- apply(columns, 1, function(column) {
    file <- file.path(folder, paste0(column[3], ".bin"))
    if (column[2] == "number") return(readBin(file, "double", file.size(file) / 8, 8, endian = "little"))
    codes <- readBin(file, "integer", file.size(file) / 4, 4, endian = "little") + 1L
    labels <- readLines(file.path(folder, paste0(column[3], ".txt")), encoding = "UTF-8")
    structure(codes, levels = labels, class = "factor")
  }, simplify = FALSE)
  names(out) <- columns[[1]]
  as.data.frame(out)
}

data <- read_table(folder)
formula <- as.formula(readLines(file.path(folder, "formula.txt")))

# CPU seconds (user and system) of one evaluation of `call`, the mean of as many as fill `least`.
timed <- function(call, least = 0.05) {
  invisible(gc())
  total <- 0
  count <- 0
  repeat {
    start <- proc.time()
    result <- call()
    total <- total + sum((proc.time() - start)[1:2])
    count <- count + 1
    if (total >= least) return(list(seconds = total / count, result = result))
  }
}

whole <- function() quiet(lmer(formula, data, control = control))
kept <- NULL
first <- function() {
  if (is.null(kept)) kept <<- whole()
  kept
}
number <- function(x) formatC(x, digits = 10, format = "f")
facts <- function(fit) c(criterion = number(-2 * as.numeric(logLik(fit))), evaluations = fit@optinfo$feval)

commands <- list()
commands$fit <- function(count) {
  run <- timed(whole)
  kept <<- run$result
  c(seconds = run$seconds, facts(run$result))
}
# Kenward and Roger: the adjusted covariance once, then the df of each fixed effect.
commands$`kenward-roger` <- function(count) {
  fit <- first()
  run <- timed(function() {
    adjusted <- pbkrtest::vcovAdj(fit)
    p <- length(fixef(fit))
    sapply(seq_len(p), function(i) pbkrtest::Lb_ddf(diag(p)[i, ], vcov(fit), adjusted))
  }, 0)
  c(seconds = run$seconds, facts(fit), df = paste(signif(run$result, 10), collapse = ","))
}
# Satterthwaite: lmerTest's derivatives of the criterion, then the df of each fixed effect.
commands$satterthwaite <- function(count) {
  fit <- first()
  run <- timed(function() {
    tested <- quiet(lmerTest::as_lmerModLmerTest(fit))
    coef(summary(tested, ddf = "Satterthwaite"))[, "df"]
  }, 0)
  c(seconds = run$seconds, facts(fit), df = paste(signif(run$result, 10), collapse = ","))
}
# A loop of refit() over responses drawn from the fitted model: 200 of them, scaled up to `count`.
commands$refits <- function(count) {
  fit <- first()
  some <- min(count, 200)
  responses <- simulate(fit, some, seed = 1)
  run <- timed(function() vapply(responses, function(y) quiet(refit(fit, y))@optinfo$feval, 0), 0)
  c(seconds = run$seconds * count / some, evaluations = sprintf("%.1f (most %d)", mean(run$result), max(run$result)))
}
commands$correlation <- function(count) {
  bar <- findbars(formula)[[1]]
  group <- deparse(bar[[3]])
  random <- as.formula(paste("~", deparse(bar[[2]]), "|", group))
  ar1 <- nlme::corAR1(form = as.formula(paste("~ 1 |", group)))
  fixed <- nobars(formula)
  run <- timed(function() do.call(nlme::lme, list(fixed = fixed, data = data, random = random, correlation = ar1)))
  c(seconds = run$seconds, criterion = number(-2 * as.numeric(logLik(run$result))))
}
commands$versions <- function(count) {
  shown <- function(p) tryCatch(as.character(packageVersion(p)), error = function(e) "not installed")
  packages <- c("lme4", "Matrix", "nlme", "lmerTest", "pbkrtest")
  c(R = paste(R.version$major, R.version$minor, sep = "."), sapply(packages, shown),
    BLAS = basename(normalizePath(extSoftVersion()["BLAS"])), LAPACK = basename(normalizePath(La_library())))
}

reply <- function(status, facts = character()) {
  pairs <- if (length(facts)) paste(names(facts), gsub("[[:space:]]+", " ", facts), sep = "=")
  cat(paste(c("reply", status, pairs), collapse = "\t"), "\n", sep = "")
  flush(stdout())
}

# What the first fit loads, on other data.
invisible(quiet(lmer(yield ~ 1 + (1 | batch), data.frame(yield = sin(1:30), batch = gl(6, 5)), control = control)))
reply("ready")
input <- file("stdin", "r")
while (length(line <- readLines(input, 1))) {
  words <- strsplit(line, " ")[[1]]
  tryCatch(
    reply("done", commands[[words[1]]](as.numeric(words[2]))),
    error = function(e) reply("failed", c(why = conditionMessage(e)))
  )
}
